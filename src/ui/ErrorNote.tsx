import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { IErrorBody } from '../api';

export interface IErrorNoteProps {
  error: Pick<IErrorBody, 'message' | 'hint' | 'details'>;
  trans: TranslationBundle;
}

/** What happened, what to do next, and the log's last lines where there are any. */
export function ErrorNote({ error, trans }: IErrorNoteProps): JSX.Element {
  const tail = error.details?.log_tail ?? [];
  return (
    <div className="jp-KaleServe-errorNote" role="alert">
      <p className="jp-KaleServe-errorMessage">{error.message}</p>
      {error.hint && <p className="jp-KaleServe-hint">{error.hint}</p>}
      {tail.length > 0 && (
        <pre className="jp-KaleServe-logTail" tabIndex={0} aria-label={trans.__('Last lines of the log')}>
          {tail.join('\n')}
        </pre>
      )}
    </div>
  );
}
