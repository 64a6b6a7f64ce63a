/** The calls made from one panel, newest first. Pure. */
import type { JSONValue } from '@lumino/coreutils';

import type { IErrorBody } from '../api';

export interface ICall {
  id: number;
  /** Milliseconds since the epoch. */
  time: number;
  /** "sample row 1", "replay of 14:02:11" … */
  label: string;
  /** The request's text, to be sent again as it was. */
  request: string;
  outcome:
    | { kind: 'answer'; json: JSONValue; milliseconds: number; revision: number | null }
    | { kind: 'error'; error: IErrorBody };
  /** A replay: whether its answer is the first one's. Null for other calls and for failures. */
  same: boolean | null;
}

export const MOST_CALLS = 20;

export function withCall(calls: readonly ICall[], call: ICall): ICall[] {
  return [call, ...calls].slice(0, MOST_CALLS);
}

/** Whether two calls answered the same; ids, times and versions of the answer do not count. */
export function sameAnswer(left: ICall, right: ICall): boolean | null {
  if (left.outcome.kind === 'error' || right.outcome.kind === 'error') {
    return null;
  }
  return JSON.stringify(essence(left.outcome.json)) === JSON.stringify(essence(right.outcome.json));
}

function essence(json: JSONValue): JSONValue {
  if (json === null || typeof json !== 'object' || Array.isArray(json)) {
    return json;
  }
  return [json['predictions'] ?? null, json['outputs'] ?? null];
}
