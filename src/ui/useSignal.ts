import type { ISignal } from '@lumino/signaling';
import { useEffect, useReducer } from 'react';

/** Draw again whenever the signal is emitted and `concerns` says that it matters here. */
export function useSignal<S, A>(signal: ISignal<S, A>, concerns?: (args: A) => boolean): void {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    const onSignal = (_: S, args: A): void => {
      if (!concerns || concerns(args)) {
        redraw();
      }
    };
    signal.connect(onSignal);
    // What happened between the first drawing and this connection is not to be missed.
    redraw();
    return () => {
      signal.disconnect(onSignal);
    };
    // `concerns` is written inline and new at each drawing; the signal alone says what to follow.
  }, [signal]);
}
