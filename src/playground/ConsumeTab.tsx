import type { TranslationBundle } from '@jupyterlab/translation';
import { Clipboard } from '@jupyterlab/apputils';
import React, { useState } from 'react';

import type { IService } from '../api';
import type { IRequest } from './input';
import { askedBy } from './request';
import { callable, clusterCall, curlCall, pythonCall } from './snippets';

export interface IConsumeTabProps {
  service: IService;
  /** What the Test tab would send; null while something in it cannot be sent. */
  request: IRequest | null;
  dataDir: string | null;
  trans: TranslationBundle;
}

/** The Test tab's call, for a notebook and for a terminal. */
export function ConsumeTab({ service, request, dataDir, trans }: IConsumeTabProps): JSX.Element {
  if (request === null) {
    return (
      <p className="jp-KaleServe-hint" role="status">
        {trans.__('The input of the Test tab cannot be sent yet: the call stands here as soon as it can.')}
      </p>
    );
  }
  return (
    <div className="jp-KaleServe-consume">
      <p className="jp-KaleServe-hint">{trans.__('The same call as in the Test tab.')}</p>
      <Snippet
        title={trans.__('Python')}
        note={
          service.binary
            ? trans.__('In a notebook or a script; the data go in binary.')
            : trans.__('In a notebook or a script.')
        }
        code={pythonCall(service, request.rows, request.body)}
        trans={trans}
      />
      <Snippet
        title={trans.__('curl')}
        note={trans.__('On this machine; the token is read from your own file and stands nowhere else.')}
        code={curlCall(service, dataDir, request.body)}
        trans={trans}
      />
      {callable(service.addresses).map(address => (
        <Snippet
          key={address.url}
          title={
            address.kind === 'in-cluster'
              ? trans.__('curl, in the cluster')
              : trans.__('curl, from outside the cluster')
          }
          note={trans.__('TOKEN is yours to set, where the cluster asks for one; it stands nowhere here.')}
          code={clusterCall(service, address, request.body)}
          trans={trans}
        />
      ))}
      {service.protocols.includes('grpc-v2') && (request.rows !== null || askedBy(service) === 'v2') && (
        <Snippet
          title={trans.__('Python, gRPC')}
          note={trans.__('Needs grpcio where it runs: pip install "kale-serve-lab[grpc]".')}
          code={pythonCall(service, request.rows, request.body, 'grpc-v2')}
          trans={trans}
        />
      )}
    </div>
  );
}

/** A picture's pixels are no reading: what is longer is cut on the screen, and copied whole. */
const MOST_SHOWN = 6_000;

interface ISnippetProps {
  title: string;
  note: string;
  code: string;
  trans: TranslationBundle;
}

function Snippet({ title, note, code, trans }: ISnippetProps): JSX.Element {
  const [copied, setCopied] = useState<string | null>(null);
  return (
    <section className="jp-KaleServe-card" aria-label={title}>
      <div className="jp-KaleServe-head">
        <h3 className="jp-KaleServe-heading">{title}</h3>
        <span role="status" className="jp-KaleServe-hint">
          {copied === code ? trans.__('Copied') : ''}
        </span>
        <button
          type="button"
          className="jp-KaleServe-button"
          aria-label={trans.__('Copy the %1 call', title)}
          onClick={() => {
            Clipboard.copyToSystem(code);
            setCopied(code);
          }}
        >
          {trans.__('Copy')}
        </button>
      </div>
      <pre className="jp-KaleServe-code" tabIndex={0} aria-label={trans.__('The call as %1', title)}>
        {code.length > MOST_SHOWN ? `${code.slice(0, MOST_SHOWN)}…` : code}
      </pre>
      <p className="jp-KaleServe-hint">
        {note}
        {code.length > MOST_SHOWN && <> {trans.__('Cut here; Copy takes all of it.')}</>}
      </p>
    </section>
  );
}
