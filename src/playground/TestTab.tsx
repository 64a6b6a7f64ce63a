import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useRef, useState } from 'react';

import type { ApiClient, IService } from '../api';
import { errorBody } from '../ui/errorBody';
import { ErrorNote } from '../ui/ErrorNote';
import { Segments } from '../ui/Segments';
import { AnswerView } from './Answer';
import { sameAnswer, withCall } from './calls';
import type { ICall } from './calls';
import { sampleRows } from './fields';
import { History, showMilliseconds, showTime } from './History';
import { InputForm } from './InputForm';
import { requestOf, toFormView, toJsonView, withSample, withText } from './input';
import type { IInput, IShape } from './input';
import { askedBy, outputsSignature } from './request';

export interface ITestTabProps {
  service: IService;
  shape: IShape;
  client: Pick<ApiClient, 'predict'>;
  input: IInput;
  onInput: (input: IInput) => void;
  calls: readonly ICall[];
  onCalls: (change: (calls: readonly ICall[]) => ICall[]) => void;
  trans: TranslationBundle;
}

/** Try the endpoint: fill in, Ctrl+Enter, look. */
export function TestTab(props: ITestTabProps): JSX.Element {
  const { service, shape, input, onInput, calls, trans } = props;
  const [shownId, setShownId] = useState<number | null>(null);
  const [isAsking, setAsking] = useState(false);
  const lastId = useRef(calls[0]?.id ?? 0);
  const request = requestOf(shape, input);
  const canServe = service.ready_revision !== null;
  const shown = calls.find(call => call.id === shownId) ?? calls[0] ?? null;

  const send = async (text: string, label: string, original: ICall | null): Promise<void> => {
    setAsking(true);
    const id = ++lastId.current;
    const call: ICall = {
      id,
      time: Date.now(),
      label,
      request: text,
      outcome: await outcomeOf(props.client, service, text),
      same: null
    };
    call.same = original && sameAnswer(original, call);
    props.onCalls(before => withCall(before, call));
    setShownId(id);
    setAsking(false);
  };
  const predict = (): void => {
    if (request && canServe && !isAsking) {
      void send(request.text, inputLabel(input, request.rows?.length ?? null, trans), null);
    }
  };
  return (
    <div
      className="jp-KaleServe-test"
      onKeyDown={event => {
        if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
          event.preventDefault();
          event.stopPropagation();
          predict();
        }
      }}
    >
      <section className="jp-KaleServe-card" aria-label={trans.__('Input')}>
        <InputHead {...props} />
        {input.view === 'form' && shape.signature ? (
          <FormView {...props} />
        ) : (
          <JsonView input={input} isBroken={request === null} onInput={onInput} trans={trans} />
        )}
        <div className="jp-KaleServe-actions">
          <button
            type="button"
            className="jp-KaleServe-button jp-mod-accept"
            disabled={request === null || !canServe || isAsking}
            onClick={predict}
          >
            {trans.__('Predict')}
          </button>
          <span className="jp-KaleServe-hint">{trans.__('Ctrl Enter')}</span>
          {!canServe && <span className="jp-KaleServe-hint">{service.sentence}</span>}
        </div>
      </section>
      <section className="jp-KaleServe-card" aria-label={trans.__('Answer')} aria-busy={isAsking}>
        <AnswerCard call={shown} service={service} trans={trans} />
        {calls.length > 0 && (
          <>
            <h3 className="jp-KaleServe-heading">{trans.__('History')}</h3>
            <History
              calls={calls}
              shown={shown?.id ?? null}
              signature={outputsSignature(service)}
              onShow={call => setShownId(call.id)}
              onReplay={call => void send(call.request, trans.__('replay of %1', showTime(call.time)), call)}
              trans={trans}
            />
          </>
        )}
      </section>
    </div>
  );
}

function InputHead({ shape, input, onInput, trans }: ITestTabProps): JSX.Element {
  const [isStuck, setStuck] = useState(false);
  const { signature } = shape;
  const samples = signature ? sampleRows(signature) : [];
  const onView = (view: IInput['view']): void => {
    const next = view === 'json' ? toJsonView(shape, input) : toFormView(shape, input);
    setStuck(next === null);
    onInput(next ?? input);
  };
  return (
    <>
      <div className="jp-KaleServe-head">
        <h3 className="jp-KaleServe-heading">{trans.__('Input')}</h3>
        {signature && (
          <Segments
            label={trans.__('View of the input')}
            options={[
              { value: 'form', label: trans.__('Form') },
              { value: 'json', label: trans.__('JSON') }
            ]}
            value={input.view}
            onChange={onView}
          />
        )}
        {samples.length > 0 && (
          <select
            aria-label={trans.__('Sample row')}
            title={signature?.source ?? undefined}
            value={input.sample ?? ''}
            onChange={event => onInput(withSample(shape, input, Number(event.target.value)))}
          >
            {input.sample === null && <option value="">{trans.__('edited')}</option>}
            {samples.map((_, index) => (
              <option key={index} value={index}>
                {trans.__('Sample row %1', index + 1)}
              </option>
            ))}
          </select>
        )}
      </div>
      {isStuck && input.view === 'json' && (
        <p role="alert" className="jp-KaleServe-hint">
          {trans.__('This JSON has no row that fits the form’s columns.')}
        </p>
      )}
    </>
  );
}

function FormView({ shape, input, onInput, trans }: ITestTabProps): JSX.Element | null {
  const [showAll, setShowAll] = useState(false);
  return (
    shape.signature && (
      <InputForm
        signature={shape.signature}
        texts={input.texts}
        sample={input.sample}
        showAll={showAll}
        onShowAll={setShowAll}
        onText={(index, text) => onInput(withText(input, index, text))}
        trans={trans}
      />
    )
  );
}

interface IJsonViewProps {
  input: IInput;
  isBroken: boolean;
  onInput: (input: IInput) => void;
  trans: TranslationBundle;
}

function JsonView({ input, isBroken, onInput, trans }: IJsonViewProps): JSX.Element {
  return (
    <>
      <textarea
        className="jp-KaleServe-code jp-KaleServe-json"
        aria-label={trans.__('Request as JSON')}
        aria-invalid={isBroken}
        rows={16}
        spellCheck={false}
        value={input.json}
        onChange={event => onInput({ ...input, json: event.target.value, sample: null })}
      />
      {isBroken && <p className="jp-KaleServe-fieldNote">{trans.__('Not a JSON object yet.')}</p>}
    </>
  );
}

interface IAnswerCardProps {
  call: ICall | null;
  service: IService;
  trans: TranslationBundle;
}

function AnswerCard({ call, service, trans }: IAnswerCardProps): JSX.Element {
  const answer = call?.outcome.kind === 'answer' ? call.outcome : null;
  return (
    <>
      <div className="jp-KaleServe-head">
        <h3 className="jp-KaleServe-heading">{trans.__('Answer')}</h3>
        <span role="status" className="jp-KaleServe-chips">
          {answer && (
            <>
              <span className="jp-KaleServe-chip">
                {trans.__('%1 ms', showMilliseconds(answer.milliseconds))}
              </span>
              {answer.revision !== null && (
                <span className="jp-KaleServe-chip">{trans.__('revision %1', answer.revision)}</span>
              )}
            </>
          )}
        </span>
      </div>
      {call === null && (
        <p className="jp-KaleServe-hint">{trans.__('Predict, and the answer stands here.')}</p>
      )}
      {answer && <AnswerView json={answer.json} signature={outputsSignature(service)} trans={trans} />}
      {call?.outcome.kind === 'error' && <ErrorNote error={call.outcome.error} trans={trans} />}
    </>
  );
}

async function outcomeOf(
  client: Pick<ApiClient, 'predict'>,
  service: IService,
  text: string
): Promise<ICall['outcome']> {
  try {
    const { json, milliseconds, revision } = await client.predict(service, askedBy(service), text);
    return { kind: 'answer', json, milliseconds, revision };
  } catch (reason) {
    return { kind: 'error', error: errorBody(reason) };
  }
}

function inputLabel(input: IInput, rows: number | null, trans: TranslationBundle): string {
  if (input.sample !== null) {
    return trans.__('sample row %1', input.sample + 1);
  }
  if (input.view === 'json') {
    return rows === null ? trans.__('JSON') : trans._n('JSON, %1 row', 'JSON, %1 rows', rows);
  }
  return trans.__('edited');
}
