import type { ApiError } from '../api';

/** What a panel can show. `stale` still has the last data, and says since when it is old. */
export type PanelState<T> =
  | { kind: 'loading' }
  | { kind: 'empty' }
  | { kind: 'unavailable'; error: ApiError }
  | { kind: 'stale'; data: T; since: number; error: ApiError }
  | { kind: 'error'; error: ApiError }
  | { kind: 'ready'; data: T };

/** The data there is, fresh or old. */
export function dataOf<T>(state: PanelState<T>): T | null {
  return state.kind === 'ready' || state.kind === 'stale' ? state.data : null;
}

/** The state after data has come. */
export function arrived<T>(data: T, isEmpty: boolean): PanelState<T> {
  return isEmpty ? { kind: 'empty' } : { kind: 'ready', data };
}

/** The state after asking has failed: what was known stays to be seen. */
export function failed<T>(before: PanelState<T>, error: ApiError, now: number): PanelState<T> {
  if (before.kind === 'stale') {
    return { ...before, error };
  }
  if (before.kind === 'ready') {
    return { kind: 'stale', data: before.data, since: now, error };
  }
  return error.isUnavailable ? { kind: 'unavailable', error } : { kind: 'error', error };
}
