import { Clipboard } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useState } from 'react';

import type { IAddress, IComponent, IService } from '../api';
import { confirmRemoval, orNotify } from '../commands/ask';
import type { IKaleServeModel } from '../tokens';
import { clock } from '../ui/words';

export interface IClusterPartProps {
  service: IService;
  trans: TranslationBundle;
}

/** The pods: where each is, and how. */
export function Pods({ service, trans }: IClusterPartProps): JSX.Element {
  return (
    <Part title={trans.__('Pods')} scrolls={service.components.length > 0}>
      {service.components.length === 0 ? (
        <p className="jp-KaleServe-hint">
          {service.paused ? trans.__('None: it is paused.') : trans.__('None yet.')}
        </p>
      ) : (
        <table className="jp-KaleServe-table">
          <thead>
            <tr>
              <th scope="col">{trans.__('pod')}</th>
              <th scope="col">{trans.__('node')}</th>
              <th scope="col">{trans.__('state')}</th>
              <th scope="col">{trans.__('restarts')}</th>
              <th scope="col">{trans.__('message')}</th>
            </tr>
          </thead>
          <tbody>
            {service.components.map(each => (
              <tr key={each.pod ?? `${each.component} ${each.revision}`}>
                <td className="jp-KaleServe-wrap">{each.pod ?? each.component}</td>
                <td>{each.node ?? '–'}</td>
                <td>{podWord(each, trans)}</td>
                <td>{each.restarts}</td>
                <td className="jp-KaleServe-wrap">{each.message}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Part>
  );
}

/** What the cluster tells of it, newest first. */
export function Facts({ service, trans }: IClusterPartProps): JSX.Element | null {
  if (service.facts.length === 0) {
    return null;
  }
  return (
    <Part title={trans.__('What the cluster tells')} scrolls>
      <table className="jp-KaleServe-table">
        <thead>
          <tr>
            <th scope="col">{trans.__('what')}</th>
            <th scope="col">{trans.__('when')}</th>
            <th scope="col">{trans.__('count')}</th>
          </tr>
        </thead>
        <tbody>
          {service.facts.map((fact, index) => (
            <tr key={index}>
              <td className="jp-KaleServe-wrap">{fact.what}</td>
              <td>{clock(fact.when)}</td>
              <td>{fact.count}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Part>
  );
}

/** The fields that others have changed, and the way back to what was served. */
export function Drift({
  service,
  model,
  trans
}: IClusterPartProps & { model: IKaleServeModel }): JSX.Element | null {
  const [isBusy, setIsBusy] = useState(false);
  if (service.drift.length === 0) {
    return null;
  }
  const takeBack = async (): Promise<void> => {
    const question = {
      title: trans.__('Take back what others changed in %1?', service.name),
      body: trans.__(
        'It is served again as it was asked for here. Their changes are lost: %1',
        service.drift.join(', ')
      ),
      button: trans.__('Take back')
    };
    if (!(await confirmRemoval(question, trans))) {
      return;
    }
    setIsBusy(true);
    await orNotify(async () => {
      await model.serve({
        name: service.name,
        namespace: service.namespace,
        target: service.target,
        model: service.model?.id ?? null,
        transformer: service.transformer?.id ?? null,
        config: service.config,
        create_only: false,
        overwrite: true
      });
    });
    setIsBusy(false);
  };
  return (
    <Part title={trans.__('Changed by others')}>
      <ul className="jp-KaleServe-paths">
        {service.drift.map(path => (
          <li key={path}>
            <code>{path}</code>
          </li>
        ))}
      </ul>
      {service.managed && (
        <button
          type="button"
          className="jp-KaleServe-button"
          disabled={isBusy}
          onClick={() => void takeBack()}
        >
          {trans.__('Take back…')}
        </button>
      )}
    </Part>
  );
}

/** The ways to it, and which of them work. */
export function Addresses({ service, trans }: IClusterPartProps): JSX.Element | null {
  const [copied, setCopied] = useState<string | null>(null);
  if (service.addresses.length === 0) {
    return null;
  }
  return (
    <Part title={trans.__('Addresses')}>
      <ul className="jp-KaleServe-addresses">
        {service.addresses.map(address => (
          <li key={`${address.kind} ${address.url}`}>
            <span>{addressWord(address, trans)}</span>
            <code className="jp-KaleServe-url" title={address.url}>
              {address.url}
            </code>
            <button
              type="button"
              className="jp-KaleServe-button"
              aria-label={trans.__('Copy the address %1', address.url)}
              onClick={() => {
                Clipboard.copyToSystem(address.url);
                setCopied(address.url);
              }}
            >
              {copied === address.url ? trans.__('Copied') : trans.__('Copy')}
            </button>
            <span className="jp-KaleServe-hint">{worksWords(address, trans)}</span>
          </li>
        ))}
      </ul>
    </Part>
  );
}

/** Let go of what serves and keep the endpoint, or the way back. */
export function PauseButton({
  service,
  model,
  trans
}: IClusterPartProps & { model: IKaleServeModel }): JSX.Element {
  const [isBusy, setIsBusy] = useState(false);
  const toggle = async (): Promise<void> => {
    setIsBusy(true);
    await orNotify(() => (service.paused ? model.resumeService(service) : model.pauseService(service)));
    setIsBusy(false);
  };
  return (
    <button type="button" className="jp-KaleServe-button" disabled={isBusy} onClick={() => void toggle()}>
      {service.paused ? trans.__('Resume') : trans.__('Pause')}
    </button>
  );
}

interface IPartProps {
  title: string;
  /** Whether what it holds may be wider than there is room. */
  scrolls?: boolean;
  children: React.ReactNode;
}

function Part({ title, scrolls = false, children }: IPartProps): JSX.Element {
  return (
    <section aria-label={title}>
      <h3 className="jp-KaleServe-heading">{title}</h3>
      {scrolls ? (
        <div className="jp-KaleServe-tableBox" tabIndex={0} role="group" aria-label={title}>
          {children}
        </div>
      ) : (
        children
      )}
    </section>
  );
}

function podWord({ state }: IComponent, trans: TranslationBundle): string {
  switch (state) {
    case 'preparing':
      return trans.__('preparing');
    case 'starting':
      return trans.__('starting');
    case 'loading':
      return trans.__('loading');
    case 'loaded':
      return trans.__('ready');
    case 'ended':
      return trans.__('ended');
    case 'failed':
      return trans.__('failed');
    default:
      return state;
  }
}

function addressWord({ kind }: IAddress, trans: TranslationBundle): string {
  switch (kind) {
    case 'in-cluster':
      return trans.__('in the cluster');
    case 'external':
      return trans.__('from outside');
    case 'api-server':
      return trans.__('through the API server');
    default:
      return kind;
  }
}

function worksWords({ works, why, host }: IAddress, trans: TranslationBundle): string {
  const state =
    works === null ? trans.__('not tried') : works ? trans.__('works') : (why ?? trans.__('does not work'));
  return [state, host && trans.__('Host: %1', host)].filter(Boolean).join(' · ');
}
