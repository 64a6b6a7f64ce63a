import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useRef, useState } from 'react';

import { LOCAL_TARGET } from '../api';
import type { IErrorBody, INextVersion, IServiceRequest } from '../api';
import { errorBody } from '../ui/errorBody';
import { useSignal } from '../ui/useSignal';
import { driftNote, isSame, localNotes, refusalNotes, serverNotes, withOverwrite } from './checks';
import type { INote } from './checks';
import { placed } from './fields';
import { packageKey } from './flow';
import type { IPackaged, ServeFlow } from './flow';
import type { IModelChoice, IOffer, IServeValues } from './offer';
import { ServeForm } from './ServeForm';
import { ticksOf } from './ticks';
import type { IYamlViewProps } from './YamlView';

/** Typing pauses this long before the server is asked, in milliseconds. */
const PAUSE = 300;

/** An attempt that was refused: what was asked for, and what was said of it. */
export interface IRefusal {
  values: IServeValues;
  notes: INote[];
}

/** The model that the form is about. */
export function chosen(offer: IOffer, values: IServeValues): IModelChoice {
  return offer.models.find(model => model.key === values.model) ?? offer.models[0];
}

interface IFormStepProps {
  flow: ServeFlow;
  offer: IOffer;
  values: IServeValues;
  refusal: IRefusal | null;
  /** The model as last submitted without being served. */
  packaged: IPackaged | null;
  onPackaged: (packaged: IPackaged) => void;
  onChange: (values: IServeValues) => void;
  onServe: () => void;
  onCancel: () => void;
  trans: TranslationBundle;
}

/** The form with what the server's preflight says of it, asked anew when the typing pauses. */
export function FormStep(props: IFormStepProps): JSX.Element {
  const { flow, offer, values, refusal, trans } = props;
  const { targets } = flow.model;
  useSignal(targets.changed);
  const choice = useVersions(flow, chosen(offer, values), values, props.onChange, refusal === null);
  const packaged = props.packaged?.key === packageKey(values) ? props.packaged : null;
  const isSubmitted = choice.artifact !== null || packaged !== null;
  const services = flow.services(values.target);
  const local = localNotes(values, choice, services, targets.cluster, trans);
  const isBroken = local.some(note => note.severity === 'error');
  const request = flow.request(values, choice, offer, packaged);
  const { said, isAsking, yaml, runtime } = useServerNotes(flow, values, request, isSubmitted, isBroken);
  const drift = useDrift(flow, values, trans);
  const packaging = usePackaging(flow, values, choice, offer, props.onPackaged);
  const notes = withOverwrite([...local, ...said, ...drift], values.overwrite);
  // A refusal is told until its field changes, but the same may be tried again: the kernel may have changed.
  const refused = (refusal?.notes ?? []).filter(
    note =>
      isSame(note.field, values, refusal?.values ?? values) && !said.some(one => one.message === note.message)
  );
  const all = placed([...withOverwrite(refused, values.overwrite), ...notes], values, choice, offer);
  return (
    <ServeForm
      offer={offer}
      choice={choice}
      services={services}
      servicesAt={target => flow.services(target)}
      cluster={targets.cluster}
      object={{ yaml, isAsking, packaging: isSubmitted ? null : packaging }}
      clusterRuntime={runtime}
      values={values}
      notes={all}
      ticks={ticksOf(
        {
          notes: all,
          isAsking,
          isSubmitted,
          isCluster: values.target !== LOCAL_TARGET,
          hasTransformer: values.transformer !== ''
        },
        trans
      )}
      canServe={!notes.some(note => note.severity === 'error')}
      onChange={props.onChange}
      onServe={props.onServe}
      onCancel={props.onCancel}
      trans={trans}
    />
  );
}

/** What others have changed of the endpoint that gets a revision; nothing where that cannot be said. */
function useDrift(flow: ServeFlow, values: IServeValues, trans: TranslationBundle): INote[] {
  const { target, existing } = values;
  const isWanted = target !== LOCAL_TARGET && values.mode === 'revision';
  const [found, setFound] = useState<{ name: string; drift: string[] } | null>(null);
  useEffect(() => {
    const abort = new AbortController();
    const service = flow.services(target).find(one => one.name === existing);
    if (isWanted && service) {
      flow.model.client.serviceObject(service, abort.signal).then(
        ({ drift }) => setFound({ name: existing, drift }),
        // Serving says it too, a moment later.
        () => setFound(null)
      );
    }
    return () => abort.abort();
  }, [flow, target, existing, isWanted]);
  return isWanted && found?.name === existing && found.drift.length > 0
    ? [driftNote(existing, found.drift, trans)]
    : [];
}

/** Have the kernel's model packaged before it is served, for those who want to see the object first. */
function usePackaging(
  flow: ServeFlow,
  values: IServeValues,
  choice: IModelChoice,
  offer: IOffer,
  onPackaged: (packaged: IPackaged) => void
): NonNullable<IYamlViewProps['packaging']> {
  const [run, setRun] = useState<{ key: string; error: IErrorBody | null } | null>(null);
  const key = packageKey(values);
  const isOurs = run?.key === key;
  return {
    state: isOurs && run.error === null ? 'running' : 'needed',
    error: isOurs ? run.error : null,
    start: () => {
      setRun({ key, error: null });
      flow.package(values, choice, offer).then(
        packaged => {
          setRun(null);
          onPackaged(packaged);
        },
        reason => setRun({ key, error: errorBody(reason) })
      );
    }
  };
}

/** What a dry run has told. */
interface IAnswer {
  said: INote[];
  /** What would be sent to the cluster. */
  yaml: string | null;
  /** The runtime that is taken. */
  runtime: string | null;
}

const NO_ANSWER: IAnswer = { said: [], yaml: null, runtime: null };

/** What the server's preflight says of the form as it stands, asked when the typing pauses. */
function useServerNotes(
  flow: ServeFlow,
  values: IServeValues,
  request: IServiceRequest,
  isSubmitted: boolean,
  /** Whether something is wrong by looks alone: then nobody is asked. */
  isBroken: boolean
): IAnswer & { isAsking: boolean } {
  const question = JSON.stringify([request, isBroken]);
  const [answer, setAnswer] = useState<IAnswer & { question: string }>({ question: '', ...NO_ANSWER });
  useEffect(() => {
    if (isBroken) {
      setAnswer({ ...NO_ANSWER, question });
      return;
    }
    let isWanted = true;
    const hear = (heard: IAnswer): void => {
      if (isWanted) {
        setAnswer({ ...heard, question });
      }
    };
    const timer = window.setTimeout(() => {
      flow.model.client.dryRun(request).then(
        ({ findings, yaml, service }) =>
          hear({
            said: serverNotes(findings, isSubmitted),
            // Without the model it is not the object that would be sent.
            yaml: isSubmitted ? (yaml ?? null) : null,
            runtime: service?.runtime || null
          }),
        reason => {
          // Of a model that is still only in the kernel the server knows nothing; serving it will tell.
          const notes = refusalNotes(errorBody(reason), values);
          hear({
            ...NO_ANSWER,
            said: notes.filter(note => isSubmitted || (note.field !== null && note.field !== 'model'))
          });
        }
      );
    }, PAUSE);
    return () => {
      isWanted = false;
      window.clearTimeout(timer);
    };
  }, [flow, question]);
  // What was said of the form before stays until there is news: notes that come and go at each key are no help.
  return { ...answer, isAsking: answer.question !== question };
}

/**
 * The choice with the versions of the name that is typed now. The kernel proposes by what it knows; the daemon, which
 * may have been asleep then, knows them all.
 */
function useVersions(
  flow: ServeFlow,
  choice: IModelChoice,
  values: IServeValues,
  onChange: (values: IServeValues) => void,
  /** Whether the version is our proposal; after an attempt it may be the one that was submitted. */
  isProposed: boolean
): IModelChoice {
  const [found, setFound] = useState<INextVersion | null>(null);
  const name = values.name.trim();
  const latest = useRef({ values, onChange, proposed: isProposed ? choice.version : null });
  latest.current.values = values;
  latest.current.onChange = onChange;
  useEffect(() => {
    if (choice.variable === null || name === '') {
      return;
    }
    let isWanted = true;
    const timer = window.setTimeout(() => {
      flow.model.client.nextVersion(name).then(
        answer => {
          const { values: now, proposed } = latest.current;
          if (!isWanted) {
            return;
          }
          setFound(answer);
          // A version that was typed stays; one that was proposed follows the name.
          if (now.version === proposed && now.version !== answer.next) {
            latest.current.onChange({ ...now, version: answer.next });
          }
          if (proposed !== null) {
            latest.current.proposed = answer.next;
          }
        },
        // The kernel's proposal stands; submitting says what is wrong with it.
        () => undefined
      );
    }, 200);
    return () => {
      isWanted = false;
      window.clearTimeout(timer);
    };
  }, [flow, choice.variable, name]);
  return found?.name === name ? { ...choice, name, versions: found.versions, version: found.next } : choice;
}
