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
  const local = localNotes(values, choice, flow.services, trans);
  const isBroken = local.some(note => note.severity === 'error');
  const { said, isAsking } = useServerNotes(flow, values, choice, offer, isBroken);
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
      services={flow.services}
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

/** What the server's preflight says of the form as it stands, asked when the typing pauses. */
function useServerNotes(
  flow: ServeFlow,
  values: IServeValues,
  choice: IModelChoice,
  offer: IOffer,
  /** Whether something is wrong by looks alone: then nobody is asked. */
  isBroken: boolean
): { said: INote[]; isAsking: boolean } {
  const request = flow.request(values, choice, offer);
  const question = JSON.stringify([request, isBroken]);
  const isSubmitted = choice.artifact !== null;
  const [answer, setAnswer] = useState<{ question: string; said: INote[] }>({ question: '', said: [] });
  useEffect(() => {
    if (isBroken) {
      setAnswer({ question, said: [] });
      return;
    }
    let isWanted = true;
    const hear = (said: INote[]): void => {
      if (isWanted) {
        setAnswer({ question, said });
      }
    };
    const timer = window.setTimeout(() => {
      flow.model.client.dryRun(request).then(
        ({ findings }) => hear(serverNotes(findings, isSubmitted)),
        reason => {
          // Of a model that is still only in the kernel the server knows nothing; serving it will tell.
          const notes = refusalNotes(errorBody(reason), values);
          hear(notes.filter(note => isSubmitted || (note.field !== null && note.field !== 'model')));
        }
      );
    }, PAUSE);
    return () => {
      isWanted = false;
      window.clearTimeout(timer);
    };
  }, [flow, question]);
  // What was said of the form before stays until there is news: notes that come and go at each key are no help.
  return { said: answer.said, isAsking: answer.question !== question };
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
