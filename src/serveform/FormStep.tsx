import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useRef, useState } from 'react';

import type { INextVersion } from '../api';
import { errorBody } from '../ui/errorBody';
import { isSame, localNotes, refusalNotes, serverNotes } from './checks';
import type { INote } from './checks';
import type { ServeFlow } from './flow';
import type { IModelChoice, IOffer, IServeValues } from './offer';
import { ServeForm } from './ServeForm';
import { ticksOf } from './ticks';

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
  onChange: (values: IServeValues) => void;
  onServe: () => void;
  onCancel: () => void;
  trans: TranslationBundle;
}

/** The form with what the server's preflight says of it, asked anew when the typing pauses. */
export function FormStep(props: IFormStepProps): JSX.Element {
  const { flow, offer, values, refusal, trans } = props;
  const choice = useVersions(flow, chosen(offer, values), values, props.onChange, refusal === null);
  const services = flow.services(values.target);
  const local = localNotes(values, choice, services, trans);
  const isBroken = local.some(note => note.severity === 'error');
  const { said, isAsking, yaml, runtime } = useServerNotes(flow, values, choice, offer, isBroken);
  const notes = [...local, ...said];
  // A refusal is told until its field changes, but the same may be tried again: the kernel may have changed.
  const refused = (refusal?.notes ?? []).filter(
    note =>
      isSame(note.field, values, refusal?.values ?? values) && !said.some(one => one.message === note.message)
  );
  return (
    <ServeForm
      offer={offer}
      choice={choice}
      services={services}
      servicesAt={target => flow.services(target)}
      cluster={flow.model.targets.cluster}
      yaml={yaml}
      isAsking={isAsking}
      clusterRuntime={runtime}
      values={values}
      notes={[...refused, ...notes]}
      ticks={ticksOf(
        {
          notes: [...refused, ...notes],
          isAsking,
          isSubmitted: choice.artifact !== null,
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
  choice: IModelChoice,
  offer: IOffer,
  /** Whether something is wrong by looks alone: then nobody is asked. */
  isBroken: boolean
): IAnswer & { isAsking: boolean } {
  const request = flow.request(values, choice, offer);
  const question = JSON.stringify([request, isBroken]);
  const isSubmitted = choice.artifact !== null;
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
            yaml: yaml ?? null,
            runtime: service?.runtime ?? null
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
