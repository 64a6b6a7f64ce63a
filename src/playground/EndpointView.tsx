import { Clipboard } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useMemo, useState } from 'react';

import { LOCAL_TARGET, isSameKey } from '../api';
import type { IService, IServiceKey } from '../api';
import { LogView } from '../logs/LogView';
import { dataOf } from '../model/state';
import type { IKaleServeModel } from '../tokens';
import { StateMark } from '../ui/StateMark';
import { Tabs } from '../ui/Tabs';
import { useSignal } from '../ui/useSignal';
import { frameworkName, protocolList, revisionWords, runtimeName, statusWord } from '../ui/words';
import type { ICall } from './calls';
import { ConsumeTab } from './ConsumeTab';
import { initialInput, requestOf } from './input';
import type { IInput, IShape } from './input';
import { ObjectTab } from './ObjectTab';
import { OverviewTab } from './OverviewTab';
import { askedBy, outputsSignature, wantedOutputs } from './request';
import { TestTab } from './TestTab';

export interface IEndpointViewProps {
  model: IKaleServeModel;
  endpoint: IServiceKey;
  trans: TranslationBundle;
}

/** One endpoint in the main area, live. */
export function EndpointView({ model, endpoint, trans }: IEndpointViewProps): JSX.Element {
  useSignal(model.serviceChanged, key => isSameKey(key, endpoint));
  useSignal(model.servicesChanged);
  const service = model.service(endpoint);
  if (service) {
    return <Endpoint model={model} service={service} trans={trans} />;
  }
  const { services } = model;
  if (services.kind === 'unavailable' || services.kind === 'error') {
    return (
      <div className="jp-KaleServe-note" role="alert">
        <p>{services.error.message}</p>
        {services.error.hint && <p className="jp-KaleServe-hint">{services.error.hint}</p>}
      </div>
    );
  }
  return (
    <p className="jp-KaleServe-note" role="status">
      {dataOf(services) === null && services.kind === 'loading'
        ? trans.__('Loading…')
        : trans.__('There is no endpoint %1 any more.', endpoint.name)}
    </p>
  );
}

type TabId = 'overview' | 'test' | 'consume' | 'logs' | 'yaml';

interface IEndpointProps {
  model: IKaleServeModel;
  service: IService;
  trans: TranslationBundle;
}

function Endpoint({ model, service, trans }: IEndpointProps): JSX.Element {
  const [tab, setTab] = useState<TabId>(service.ready_revision === null ? 'overview' : 'test');
  const [calls, setCalls] = useState<ICall[]>([]);
  const shape: IShape = {
    signature: service.signature,
    protocol: askedBy(service),
    outputs: wantedOutputs(outputsSignature(service))
  };
  const [input, setInput] = useInput(shape);
  const dataDir = useDataDir(model);
  return (
    <div className="jp-KaleServe-endpoint">
      <Head
        service={service}
        place={model.targets.get(service.target)?.title ?? service.target}
        trans={trans}
      />
      <Tabs
        label={trans.__('About %1', service.name)}
        tabs={[
          { id: 'overview', label: trans.__('Overview') },
          { id: 'test', label: trans.__('Test') },
          { id: 'consume', label: trans.__('Consume') },
          { id: 'logs', label: trans.__('Logs') },
          ...(service.target === LOCAL_TARGET ? [] : [{ id: 'yaml' as const, label: trans.__('YAML') }])
        ]}
        selected={tab}
        onSelect={setTab}
      >
        {tab === 'overview' && <OverviewTab service={service} model={model} trans={trans} />}
        {tab === 'test' && (
          <TestTab
            service={service}
            shape={shape}
            client={model.client}
            input={input}
            onInput={setInput}
            calls={calls}
            onCalls={setCalls}
            trans={trans}
          />
        )}
        {tab === 'consume' && (
          <ConsumeTab service={service} request={requestOf(shape, input)} dataDir={dataDir} trans={trans} />
        )}
        {tab === 'yaml' && <ObjectTab service={service} client={model.client} trans={trans} />}
        {tab === 'logs' && <LogView model={model} serviceKey={service} trans={trans} />}
      </Tabs>
    </div>
  );
}

interface IHeadProps {
  service: IService;
  /** Its target's title. */
  place: string;
  trans: TranslationBundle;
}

function Head({ service, place, trans }: IHeadProps): JSX.Element {
  const framework = service.model?.framework;
  const runtime = [
    protocolList(service.protocols, trans),
    framework && frameworkName(framework),
    runtimeName(service.runtime, trans)
  ];
  return (
    <div className="jp-KaleServe-endpointHead">
      <h2>{service.name}</h2>
      <span className="jp-KaleServe-chip" role="status" data-state={service.state}>
        <StateMark state={service.state} /> {statusWord(service, trans)}
      </span>
      {service.revision > 0 && <span className="jp-KaleServe-chip">{revisionWords(service, trans)}</span>}
      <span className="jp-KaleServe-chip">
        {service.target === LOCAL_TARGET ? trans.__('this machine') : place}
      </span>
      {!service.managed && <span className="jp-KaleServe-chip">{trans.__('not by Kale')}</span>}
      <span className="jp-KaleServe-chip">{runtime.filter(Boolean).join(' · ')}</span>
      <span className="jp-KaleServe-address">
        <code className="jp-KaleServe-url" title={service.url}>
          {service.url}
        </code>
        <button
          type="button"
          className="jp-KaleServe-button"
          aria-label={trans.__('Copy the URL')}
          onClick={() => Clipboard.copyToSystem(service.url)}
        >
          {trans.__('Copy')}
        </button>
      </span>
    </div>
  );
}

/** The input as it was typed, until a revision takes other columns. */
function useInput(shape: IShape): [IInput, (input: IInput) => void] {
  const key = useMemo(() => JSON.stringify(shape), [shape.signature, shape.protocol, shape.outputs?.join()]);
  const [held, setHeld] = useState<{ key: string; input: IInput } | null>(null);
  const input = held?.key === key ? held.input : initialInput(shape);
  return [input, changed => setHeld({ key, input: changed })];
}

/** Where the gateway's token lies, for the curl call; null until it is known. */
function useDataDir(model: IKaleServeModel): string | null {
  const [dataDir, setDataDir] = useState<string | null>(null);
  useEffect(() => {
    let isWanted = true;
    model.client.health().then(
      health => isWanted && setDataDir(health.daemon?.data_dir ?? null),
      // The curl call then names the directory's environment variable.
      () => undefined
    );
    return () => {
      isWanted = false;
    };
  }, [model]);
  return dataDir;
}
