import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useState } from 'react';

import type { IErrorBody, IService } from '../api';
import { errorBody } from '../ui/errorBody';
import { ErrorNote } from '../ui/ErrorNote';
import { refusalNotes, serverNotes } from './checks';
import type { INote } from './checks';
import { packageKey } from './flow';
import type { IPackaged, ServeFlow } from './flow';
import { Notes } from './FormRow';
import { chosen, FormStep } from './FormStep';
import type { IRefusal } from './FormStep';
import { proposedValues } from './offer';
import type { IOffer, IServeValues } from './offer';
import { Progress } from './Progress';
import { NOTHING_DONE, progressOf } from './stages';
import type { IRun } from './stages';
import { proposedTarget } from './where';

export interface IServePanelProps {
  flow: ServeFlow;
  /** The endpoint is ready, or the user wants to see it as it is. */
  onDone: (service: IService) => void;
  onCancel: () => void;
  trans: TranslationBundle;
}

type View =
  | { kind: 'looking' }
  | { kind: 'failed'; error: IErrorBody }
  | { kind: 'empty' }
  | { kind: 'form'; offer: IOffer; values: IServeValues; refusal: IRefusal | null }
  | { kind: 'serving'; offer: IOffer; values: IServeValues };

/** From looking for models to a ready endpoint. */
export function ServePanel({ flow, onDone, onCancel, trans }: IServePanelProps): JSX.Element {
  const [view, setView] = useState<View>({ kind: 'looking' });
  const [packaged, setPackaged] = useState<IPackaged | null>(null);
  const look = (): (() => void) => {
    let isWanted = true;
    setView({ kind: 'looking' });
    flow.look().then(
      offer => isWanted && setView(firstView(offer, flow)),
      reason => isWanted && setView({ kind: 'failed', error: errorBody(reason) })
    );
    return () => {
      isWanted = false;
    };
  };
  useEffect(look, [flow]);
  const close = (
    <button type="button" className="jp-KaleServe-button" onClick={onCancel}>
      {trans.__('Close')}
    </button>
  );
  switch (view.kind) {
    case 'looking':
      return (
        <div className="jp-KaleServe-form">
          <p role="status">
            {flow.isKernelBusy
              ? trans.__('The kernel is busy with a cell. This goes on as soon as the cell has ended.')
              : trans.__('Looking for models…')}
          </p>
          <div className="jp-KaleServe-buttons">{close}</div>
        </div>
      );
    case 'empty':
      return (
        <div className="jp-KaleServe-form">
          <p role="status">
            {trans.__('No model was found in this notebook’s kernel.')}{' '}
            {trans.__('Run the cell that trains or loads one, then look again.')}
          </p>
          <div className="jp-KaleServe-buttons">
            {close}
            <button type="button" className="jp-KaleServe-button jp-mod-accept" onClick={look}>
              {trans.__('Look again')}
            </button>
          </div>
        </div>
      );
    case 'failed':
      return (
        <div className="jp-KaleServe-form">
          <ErrorNote error={view.error} trans={trans} />
          <div className="jp-KaleServe-buttons">
            {close}
            <button type="button" className="jp-KaleServe-button jp-mod-accept" onClick={look}>
              {trans.__('Try again')}
            </button>
          </div>
        </div>
      );
    case 'form':
      return (
        <FormStep
          flow={flow}
          offer={view.offer}
          values={view.values}
          onChange={values => setView({ ...view, values })}
          refusal={view.refusal}
          packaged={packaged}
          onPackaged={setPackaged}
          onServe={() => setView({ kind: 'serving', offer: view.offer, values: view.values })}
          onCancel={onCancel}
          trans={trans}
        />
      );
    case 'serving':
      return (
        <ServingStep
          flow={flow}
          offer={view.offer}
          values={view.values}
          packaged={packaged?.key === packageKey(view.values) ? packaged : null}
          onBack={(service, notes) =>
            setView({
              kind: 'form',
              offer: view.offer,
              // A failed endpoint is there all the same: the next attempt is its next revision.
              values: service ? { ...view.values, mode: 'revision', existing: service.name } : view.values,
              refusal: { values: view.values, notes }
            })
          }
          onDone={onDone}
          onCancel={onCancel}
          trans={trans}
        />
      );
  }
}

function firstView(offer: IOffer, flow: ServeFlow): View {
  const [first] = offer.models;
  const target = proposedTarget(flow.model.targets);
  return first
    ? { kind: 'form', offer, values: proposedValues(first, flow.services(target), target), refusal: null }
    : { kind: 'empty' };
}

interface IServingStepProps {
  flow: ServeFlow;
  offer: IOffer;
  values: IServeValues;
  /** The model as submitted already, where it is. */
  packaged: IPackaged | null;
  /** Back to the form, with the endpoint that there is now and with what was said against the attempt. */
  onBack: (service: IService | null, notes: INote[]) => void;
  onDone: (service: IService) => void;
  onCancel: () => void;
  trans: TranslationBundle;
}

function ServingStep(props: IServingStepProps): JSX.Element {
  const { flow, offer, values, trans } = props;
  const [run, setRun] = useState<IRun>(NOTHING_DONE);
  useEffect(() => {
    let isWanted = true;
    let unwatch = (): void => undefined;
    const report = (now: IRun): void => {
      if (isWanted) {
        setRun(now);
      }
    };
    void flow.serve(values, chosen(offer, values), offer, props.packaged, report).then(accepted => {
      if (!accepted || !isWanted) {
        return;
      }
      unwatch = flow.watch(accepted, service => {
        if (service && service.revision >= accepted.revision) {
          setRun(before => ({ ...before, service }));
        }
      });
    });
    return () => {
      isWanted = false;
      unwatch();
    };
    // Once for each time this step is shown: serving twice would make two revisions.
  }, []);
  const progress = progressOf(run);
  const { service } = run;
  const refusals = run.error === null ? [] : refusalNotes(run.error, values);
  useEffect(() => {
    // What a field can mend is said at the field.
    if (refusals.some(note => note.field !== null)) {
      props.onBack(null, refusals);
    }
  }, [run.error]);
  useEffect(() => {
    if (progress.state === 'ready' && service) {
      props.onDone(service);
    }
  }, [progress.state]);
  return (
    <div className="jp-KaleServe-form">
      <Progress
        progress={progress}
        sentence={sentence(run, progress.state, trans)}
        nextStep={progress.state === 'running' ? (service?.next_step ?? null) : null}
        trans={trans}
      />
      <Notes notes={serverNotes(run.findings, true).filter(note => note.severity !== 'error')} />
      <div className="jp-KaleServe-buttons">
        <button type="button" className="jp-KaleServe-button" onClick={props.onCancel}>
          {trans.__('Close')}
        </button>
        {progress.state === 'failed' && (
          <>
            {service && (
              <button type="button" className="jp-KaleServe-button" onClick={() => props.onDone(service)}>
                {trans.__('Show the endpoint')}
              </button>
            )}
            <button
              type="button"
              className="jp-KaleServe-button jp-mod-accept"
              onClick={() => props.onBack(service, [])}
            >
              {trans.__('Back to the form')}
            </button>
          </>
        )}
      </div>
    </div>
  );
}

function sentence(run: IRun, state: 'running' | 'ready' | 'failed', trans: TranslationBundle): string {
  if (state === 'failed') {
    return run.service
      ? trans.__('%1 did not become ready.', run.service.name)
      : trans.__('Nothing was served.');
  }
  if (run.service) {
    return run.service.sentence;
  }
  return run.submitted === null
    ? trans.__('The kernel packages the model…')
    : trans.__('Creating the endpoint…');
}
