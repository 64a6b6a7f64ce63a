import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { ApiError } from '../api';
import type { PanelState } from '../model/state';

export interface IStateViewProps<T> {
  state: PanelState<T>;
  trans: TranslationBundle;
  /** What an empty panel is for, and its one button. */
  empty: JSX.Element;
  onRetry: () => void;
  children: (data: T) => JSX.Element;
}

/** One of the states that a panel can be in. */
export function StateView<T>(props: IStateViewProps<T>): JSX.Element {
  const { state, trans, onRetry } = props;
  switch (state.kind) {
    case 'loading':
      return (
        <p className="jp-KaleServe-note" role="status">
          {trans.__('Loading…')}
        </p>
      );
    case 'empty':
      return <div className="jp-KaleServe-note">{props.empty}</div>;
    case 'unavailable':
      return <Trouble error={state.error} trans={trans} onRetry={onRetry} role="status" />;
    case 'error':
      return <Trouble error={state.error} trans={trans} onRetry={onRetry} role="alert" />;
    case 'stale':
      return (
        <>
          <p className="jp-KaleServe-stale" role="status" title={state.error.message}>
            {trans.__(
              'Last known at %1. %2',
              new Date(state.since).toLocaleTimeString(),
              state.error.message
            )}
          </p>
          {props.children(state.data)}
        </>
      );
    case 'ready':
      return props.children(state.data);
  }
}

interface ITroubleProps {
  error: ApiError;
  trans: TranslationBundle;
  onRetry: () => void;
  role: 'status' | 'alert';
}

function Trouble({ error, trans, onRetry, role }: ITroubleProps): JSX.Element {
  return (
    <div className="jp-KaleServe-note" role={role}>
      <p>{error.message}</p>
      {error.hint && <p className="jp-KaleServe-sub">{error.hint}</p>}
      <button type="button" className="jp-KaleServe-button" onClick={onRetry}>
        {trans.__('Try again')}
      </button>
    </div>
  );
}
