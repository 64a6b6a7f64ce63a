import { Clipboard } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useState } from 'react';

import type { IErrorBody } from '../api';
import { ErrorNote } from '../ui/ErrorNote';
import type { INote } from './checks';
import { Notes } from './FormRow';

export interface IYamlViewProps {
  /** What would be sent as the form stands; null where that is not known yet. */
  yaml: string | null;
  isAsking: boolean;
  /** The model is only in the kernel: until it is packaged there are no files that the object could name. */
  packaging: { state: 'needed' | 'running'; error: IErrorBody | null; start: () => void } | null;
  notes: readonly INote[];
  trans: TranslationBundle;
}

/** The object that serving would send, and above it what stands against it. */
export function YamlView({ yaml, isAsking, packaging, notes, trans }: IYamlViewProps): JSX.Element {
  const [copied, setCopied] = useState<string | null>(null);
  useEffect(() => setCopied(null), [yaml]);
  const isCopied = copied !== null && copied === yaml;
  return (
    <div className="jp-KaleServe-yaml" aria-busy={isAsking}>
      {notes.length > 0 && <Notes notes={notes} />}
      {packaging !== null ? (
        <div className="jp-KaleServe-yamlEmpty">
          <p role="status">
            {packaging.state === 'running'
              ? trans.__('The kernel packages the model…')
              : trans.__('The object names the model’s files, so the model is packaged first.')}{' '}
            <span className="jp-KaleServe-hint">{trans.__('Nothing is sent to the cluster.')}</span>
          </p>
          {packaging.error && <ErrorNote error={packaging.error} trans={trans} />}
          <button
            type="button"
            className="jp-KaleServe-button"
            disabled={packaging.state === 'running'}
            onClick={packaging.start}
          >
            {trans.__('Package the model')}
          </button>
        </div>
      ) : yaml === null ? (
        <div className="jp-KaleServe-yamlEmpty">
          <p role="status" className="jp-KaleServe-hint">
            {isAsking ? trans.__('Being made…') : trans.__('There is no object yet: mend the form first.')}
          </p>
        </div>
      ) : (
        <>
          <div className="jp-KaleServe-yamlHead">
            <span role="status" className="jp-KaleServe-hint">
              {isAsking
                ? trans.__('Being made anew…')
                : isCopied
                  ? trans.__('Copied.')
                  : trans.__('What serving sends, as the form stands')}
            </span>
            <button
              type="button"
              className="jp-KaleServe-button"
              onClick={() => {
                Clipboard.copyToSystem(yaml);
                setCopied(yaml);
              }}
            >
              {trans.__('Copy')}
            </button>
          </div>
          <pre className="jp-KaleServe-code" tabIndex={0} role="region" aria-label={trans.__('YAML')}>
            {yaml}
          </pre>
        </>
      )}
    </div>
  );
}
