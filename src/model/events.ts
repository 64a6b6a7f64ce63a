import type { Event } from '@jupyterlab/services';

import type { IService, IStateEvent } from '../api';

const SCHEMA_ID = 'https://kale-serve-lab.dev/events/state/v1';

const KINDS = ['service', 'artifact', 'gap'];

/** Our event in an emission of Jupyter's event stream; null when it is somebody else's. */
export function readEmission(emission: Event.Emission): IStateEvent | null {
  if (emission.schema_id !== SCHEMA_ID) {
    return null;
  }
  const { seq, kind, name } = emission;
  if (typeof seq !== 'number' || typeof kind !== 'string' || !KINDS.includes(kind)) {
    return null;
  }
  if (kind !== 'gap' && typeof name !== 'string') {
    return null;
  }
  return emission as unknown as IStateEvent;
}

/** What to do about an event, given the number of the last one that is already in the picture. */
export type Reaction = 'ignore' | 'follow' | 'snapshot';

/**
 * The stream has no replay: a number that is not the next one means that events were lost, or that the daemon counts
 * anew. An older number with nothing new in it is only an event which the snapshot has overtaken.
 */
export function react(event: IStateEvent, seen: number | null, known: IService | null): Reaction {
  if (seen === null || event.kind === 'gap') {
    return 'snapshot';
  }
  if (event.seq === seen + 1) {
    return 'follow';
  }
  if (event.seq > seen) {
    return 'snapshot';
  }
  return event.kind === 'artifact' || isIn(event, known) ? 'ignore' : 'snapshot';
}

function isIn(event: IStateEvent, known: IService | null): boolean {
  if (event.deleted || known === null) {
    return event.deleted && known === null;
  }
  return (
    known.revision > (event.revision ?? 0) ||
    (known.revision === event.revision && known.state === event.state)
  );
}
