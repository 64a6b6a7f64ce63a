import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useLayoutEffect, useRef } from 'react';

import type { IService } from '../api';
import { frameworkName } from '../ui/words';
import type { INote } from './checks';
import { FormRow, Notes } from './FormRow';
import { proposedValues } from './offer';
import type { IModelChoice, IOffer, IServeValues } from './offer';

export interface IServeFormProps {
  offer: IOffer;
  /** The chosen model, with the versions of the name as it is typed now. */
  choice: IModelChoice;
  services: readonly IService[];
  values: IServeValues;
  notes: readonly INote[];
  canServe: boolean;
  onChange: (values: IServeValues) => void;
  onServe: () => void;
  onCancel: () => void;
  trans: TranslationBundle;
}

/** What is to be served, under which name; everything is filled in already. */
export function ServeForm(props: IServeFormProps): JSX.Element {
  const { offer, choice, services, values, notes, canServe, onChange, trans } = props;
  const form = useRef<HTMLFormElement>(null);
  useLayoutEffect(() => {
    // The dialog has opened without it; after a refusal the keyboard belongs where something is to be mended.
    // In the next frame: the dialog's body is drawn before it is attached, and what is not attached takes no focus.
    const frame = requestAnimationFrame(() => {
      const find = (selector: string) => form.current?.querySelector<HTMLElement>(selector);
      (find('[aria-invalid="true"]') ?? find('select, input'))?.focus();
    });
    return () => cancelAnimationFrame(frame);
  }, []);
  const set = (change: Partial<IServeValues>): void => onChange({ ...values, ...change });
  const general = notes.filter(note => note.field === null);
  return (
    <form
      ref={form}
      className="jp-KaleServe-form"
      aria-label={trans.__('Serve this model')}
      onSubmit={event => {
        event.preventDefault();
        if (canServe) {
          props.onServe();
        }
      }}
    >
      <FormRow label={trans.__('Model')} field="model" notes={notes}>
        {(id, described) => (
          <select
            id={id}
            {...described}
            value={choice.key}
            onChange={event => {
              const next = offer.models.find(model => model.key === event.target.value);
              if (next) {
                onChange(proposedValues(next, services));
              }
            }}
          >
            {offer.models.map(model => (
              <option key={model.key} value={model.key}>
                {model.label}
              </option>
            ))}
          </select>
        )}
      </FormRow>
      {choice.variable !== null && (
        <NameAndVersion choice={choice} values={values} notes={notes} set={set} trans={trans} />
      )}
      <EndpointRow services={services} values={values} notes={notes} set={set} trans={trans} />
      <div className="jp-KaleServe-row">
        <span className="jp-KaleServe-label">{trans.__('Where')}</span>
        <span className="jp-KaleServe-control">{trans.__('this machine')}</span>
      </div>
      <div className="jp-KaleServe-row">
        <span className="jp-KaleServe-label">{trans.__('Runtime')}</span>
        <span className="jp-KaleServe-control">
          {trans.__('built-in server')}{' '}
          <span className="jp-KaleServe-hint">
            {trans.__(
              'the only one that fits %1, protocol %2',
              frameworkName(choice.framework ?? ''),
              values.transformer === '' ? 'v2' : 'v1'
            )}
          </span>
        </span>
      </div>
      <SampleRow choice={choice} values={values} notes={notes} set={set} trans={trans} />
      {offer.transformers.length > 0 && (
        <FormRow label={trans.__('Transformer')} field="transformer" notes={notes}>
          {(id, described) => (
            <select
              id={id}
              {...described}
              value={values.transformer}
              onChange={event => set({ transformer: event.target.value })}
            >
              <option value="">{trans.__('none')}</option>
              {offer.transformers.map(item => (
                <option key={item.key} value={item.key}>
                  {item.label}
                </option>
              ))}
            </select>
          )}
        </FormRow>
      )}
      {general.length > 0 && (
        <div className="jp-KaleServe-row">
          <span className="jp-KaleServe-label">{trans.__('Preflight')}</span>
          <div className="jp-KaleServe-control">
            <Notes notes={general} />
          </div>
        </div>
      )}
      <div className="jp-KaleServe-buttons">
        <button type="button" className="jp-KaleServe-button" onClick={props.onCancel}>
          {trans.__('Cancel')}
        </button>
        <button type="submit" className="jp-KaleServe-button jp-mod-accept" disabled={!canServe}>
          {trans.__('Serve')}
        </button>
      </div>
    </form>
  );
}

interface IPartProps {
  values: IServeValues;
  notes: readonly INote[];
  set: (change: Partial<IServeValues>) => void;
  trans: TranslationBundle;
}

function NameAndVersion({
  choice,
  values,
  notes,
  set,
  trans
}: IPartProps & { choice: IModelChoice }): JSX.Element {
  const existing = values.name.trim() === choice.name ? choice.versions : [];
  return (
    <>
      <FormRow label={trans.__('Name')} field="name" notes={notes}>
        {(id, described) => (
          <input
            id={id}
            type="text"
            spellCheck={false}
            {...described}
            value={values.name}
            onChange={event => set({ name: event.target.value })}
          />
        )}
      </FormRow>
      <FormRow label={trans.__('Version')} field="version" notes={notes}>
        {(id, described) => (
          <>
            <input
              id={id}
              type="text"
              className="jp-KaleServe-short"
              spellCheck={false}
              {...described}
              value={values.version}
              onChange={event => set({ version: event.target.value })}
            />
            {existing.length > 0 && (
              <span className="jp-KaleServe-hint">
                {trans._n('%2 exists', '%2 exist', existing.length, existing.slice(0, 3).join(', '))}
              </span>
            )}
          </>
        )}
      </FormRow>
    </>
  );
}

function EndpointRow({
  services,
  values,
  notes,
  set,
  trans
}: IPartProps & { services: readonly IService[] }): JSX.Element {
  return (
    <>
      {services.length > 0 && (
        <FormRow label={trans.__('Endpoint')} isGroup>
          {id => (
            <div className="jp-KaleServe-radios">
              <label>
                <input
                  type="radio"
                  name={id}
                  checked={values.mode === 'new'}
                  onChange={() => set({ mode: 'new' })}
                />
                {trans.__('a new one')}
              </label>
              <label>
                <input
                  type="radio"
                  name={id}
                  checked={values.mode === 'revision'}
                  onChange={() => set({ mode: 'revision' })}
                />
                {trans.__('the next revision of one')}
              </label>
            </div>
          )}
        </FormRow>
      )}
      {values.mode === 'new' ? (
        <FormRow label={trans.__('Endpoint name')} field="endpoint" notes={notes}>
          {(id, described) => (
            <input
              id={id}
              type="text"
              spellCheck={false}
              {...described}
              value={values.endpoint}
              onChange={event => set({ endpoint: event.target.value })}
            />
          )}
        </FormRow>
      ) : (
        <FormRow label={trans.__('Next revision of')} field="endpoint" notes={notes}>
          {(id, described) => (
            <select
              id={id}
              {...described}
              value={values.existing}
              onChange={event => set({ existing: event.target.value })}
            >
              {services.map(service => (
                <option key={service.name} value={service.name}>
                  {trans.__('%1 (revision %2 now)', service.name, service.revision)}
                </option>
              ))}
            </select>
          )}
        </FormRow>
      )}
    </>
  );
}

function SampleRow({
  choice,
  values,
  notes,
  set,
  trans
}: IPartProps & { choice: IModelChoice }): JSX.Element {
  if (choice.candidates.length === 0) {
    return (
      <div className="jp-KaleServe-row">
        <span className="jp-KaleServe-label">{trans.__('Sample')}</span>
        <span className="jp-KaleServe-control">
          {choice.sampleText ?? (
            <span className="jp-KaleServe-hint">{trans.__('none found; the form will be empty')}</span>
          )}
        </span>
      </div>
    );
  }
  return (
    <FormRow label={trans.__('Sample')} field="sample" notes={notes}>
      {(id, described) => (
        <>
          <select
            id={id}
            className="jp-KaleServe-short"
            {...described}
            value={values.sample}
            onChange={event => set({ sample: event.target.value })}
          >
            {choice.candidates.map(variable => (
              <option key={variable} value={variable}>
                {variable}
              </option>
            ))}
            <option value="">{trans.__('none')}</option>
          </select>
          {values.sample === choice.sample && choice.sampleText && (
            <span className="jp-KaleServe-hint">{choice.sampleText}</span>
          )}
        </>
      )}
    </FormRow>
  );
}
