import { Clipboard } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useState } from 'react';

import { asApiError, keyText } from '../api';
import type { ApiClient, ApiError, IService, IServiceObject } from '../api';
import { ErrorNote } from '../ui/ErrorNote';
import { Segments } from '../ui/Segments';

export interface IObjectTabProps {
  service: IService;
  client: Pick<ApiClient, 'serviceObject'>;
  trans: TranslationBundle;
}

/** The service's object: as we have sent it, and as it is on the cluster. */
export function ObjectTab({ service, client, trans }: IObjectTabProps): JSX.Element {
  const [found, setFound] = useState<IServiceObject | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [side, setSide] = useState<'applied' | 'live'>('applied');
  const [copied, setCopied] = useState<string | null>(null);
  useEffect(() => {
    const abort = new AbortController();
    client.serviceObject(service, abort.signal).then(
      answer => {
        if (!abort.signal.aborted) {
          setFound(answer);
          setError(null);
        }
      },
      (reason: unknown) => {
        if (!abort.signal.aborted) {
          setError(asApiError(reason));
        }
      }
    );
    return () => abort.abort();
    // Asked anew for whatever has changed of it.
  }, [client, keyText(service), service.revision, service.state, service.paused, service.drift.join()]);
  if (!found) {
    return error ? (
      <ErrorNote error={error} trans={trans} />
    ) : (
      <p role="status" className="jp-KaleServe-hint">
        {trans.__('Loading…')}
      </p>
    );
  }
  // What others have made has only its live side.
  const shown = found.applied === null ? 'live' : side;
  const text = (shown === 'applied' ? found.yaml : found.live_yaml) ?? '';
  const label = shown === 'applied' ? trans.__('Object as applied') : trans.__('Object on the cluster');
  return (
    <section className="jp-KaleServe-card" aria-label={trans.__('YAML')}>
      <div className="jp-KaleServe-head">
        {found.applied === null ? (
          <h3 className="jp-KaleServe-heading">{label}</h3>
        ) : (
          <Segments
            label={trans.__('Which object')}
            options={[
              { value: 'applied', label: trans.__('Applied') },
              { value: 'live', label: trans.__('On the cluster') }
            ]}
            value={side}
            onChange={setSide}
          />
        )}
        <span role="status" className="jp-KaleServe-hint">
          {copied !== null && copied === text ? trans.__('Copied') : ''}
        </span>
        <button
          type="button"
          className="jp-KaleServe-button"
          disabled={!text}
          onClick={() => {
            Clipboard.copyToSystem(text);
            setCopied(text);
          }}
        >
          {trans.__('Copy')}
        </button>
      </div>
      {error && <ErrorNote error={error} trans={trans} />}
      {text ? (
        <pre className="jp-KaleServe-code" tabIndex={0} role="region" aria-label={label}>
          {text}
        </pre>
      ) : (
        <p className="jp-KaleServe-hint">{trans.__('There is no such object on the cluster.')}</p>
      )}
    </section>
  );
}
