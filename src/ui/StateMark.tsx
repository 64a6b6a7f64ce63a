import React from 'react';

import type { ServiceState } from '../api';

/** A service's state as a shape; the word stands beside it, so that colour is never alone. */
export function StateMark({ state }: { state: ServiceState }): JSX.Element {
  return (
    <svg
      className={`jp-KaleServe-mark jp-mod-${state.toLowerCase()}`}
      width="10"
      height="10"
      viewBox="0 0 10 10"
      aria-hidden="true"
      focusable="false"
    >
      {shape(state)}
    </svg>
  );
}

function shape(state: ServiceState): JSX.Element {
  switch (state) {
    case 'Ready':
      return <circle cx="5" cy="5" r="4" fill="currentColor" />;
    case 'Failed':
      return <path d="M5 0.8 9.6 9H0.4Z" fill="currentColor" />;
    case 'Updating':
      return (
        <g>
          <circle cx="5" cy="5" r="3.5" fill="none" stroke="currentColor" />
          <path d="M5 1.5A3.5 3.5 0 0 0 5 8.5Z" fill="currentColor" />
        </g>
      );
    case 'Deleting':
      return <path d="M2 5H8" stroke="currentColor" strokeWidth="2" />;
    case 'Pending':
    case 'Loading':
      return (
        <circle
          cx="5"
          cy="5"
          r="3.5"
          fill="none"
          stroke="currentColor"
          strokeWidth="1.5"
          strokeDasharray="3 2"
        />
      );
  }
}
