import { Clipboard } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { INote } from './checks';
import { Notes } from './FormRow';

export interface IYamlViewProps {
  /** What would be sent as the form stands; null where that is not known yet. */
  yaml: string | null;
  isAsking: boolean;
  notes: readonly INote[];
  trans: TranslationBundle;
}

/** The object that serving would send, and beside it what is wrong with it. */
export function YamlView({ yaml, isAsking, notes, trans }: IYamlViewProps): JSX.Element {
  return (
    <div className="jp-KaleServe-yaml" aria-busy={isAsking}>
      {notes.length > 0 && <Notes notes={notes} />}
      {yaml === null ? (
        <p className="jp-KaleServe-hint">
          {isAsking ? trans.__('Being made…') : trans.__('There is no object yet: mend the form first.')}
        </p>
      ) : (
        <>
          <button type="button" className="jp-KaleServe-button" onClick={() => Clipboard.copyToSystem(yaml)}>
            {trans.__('Copy')}
          </button>
          <pre className="jp-KaleServe-yamlText" tabIndex={0} aria-label={trans.__('YAML')}>
            {yaml}
          </pre>
        </>
      )}
    </div>
  );
}
