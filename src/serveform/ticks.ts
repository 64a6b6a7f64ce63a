/** Preflight at a glance: one tick a check. Pure. */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { FieldName, INote } from './checks';
import { CLUSTER_FIELDS } from './fields';

export type TickState = 'ok' | 'warning' | 'error' | 'asking' | 'later';

export interface ITick {
  id: string;
  label: string;
  state: TickState;
  /** What the check says, for those who point at it; the notes stand beside their fields. */
  text: string | null;
}

export interface ITicksOf {
  notes: readonly INote[];
  /** Whether the server has not answered yet for the form as it stands. */
  isAsking: boolean;
  /** Whether the server has the model, and so can look at it. */
  isSubmitted: boolean;
  isCluster: boolean;
  hasTransformer: boolean;
}

export function ticksOf(of: ITicksOf, trans: TranslationBundle): ITick[] {
  const tick = (id: string, label: string, fields: FieldName[], ready: TickState): ITick => {
    const own = of.notes.filter(note => note.field !== null && fields.includes(note.field));
    const worst = (['error', 'warning'] as const).find(state => own.some(note => note.severity === state));
    return { id, label, state: worst ?? ready, text: own.map(note => note.message).join(' ') || null };
  };
  const answered: TickState = of.isAsking ? 'asking' : 'ok';
  const model = tick('model', trans.__('loads and predicts'), ['model'], of.isSubmitted ? answered : 'later');
  if (model.state === 'later') {
    model.text = trans.__(
      'What is saved is loaded back and compared on the sample before anything is served.'
    );
  }
  const ticks = [
    tick('name', trans.__('names'), ['name', 'version', 'endpoint'], answered),
    model,
    tick('sample', trans.__('sample'), ['sample'], answered),
    tick('runtime', trans.__('runtime'), ['runtime', 'protocol'], answered)
  ];
  if (of.isCluster) {
    ticks.push(tick('cluster', trans.__('cluster'), ['where', ...CLUSTER_FIELDS], answered));
  }
  if (of.hasTransformer) {
    ticks.splice(2, 0, tick('transformer', trans.__('transformer'), ['transformer'], answered));
  }
  return ticks;
}
