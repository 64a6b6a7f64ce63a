import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { LOCAL_TARGET } from '../api';
import type { IArtifact, IService } from '../api';
import { Progress } from '../serveform/Progress';
import { NOTHING_DONE, progressOf } from '../serveform/stages';
import type { IKaleServeModel } from '../tokens';
import { clock, frameworkName, protocolName, revisionWords, runtimeName } from '../ui/words';
import { Addresses, Drift, Facts, PauseButton, Pods } from './ClusterParts';

export interface IOverviewTabProps {
  service: IService;
  model: IKaleServeModel;
  trans: TranslationBundle;
}

/** What is served, by what, and how it stands. */
export function OverviewTab({ service, model, trans }: IOverviewTabProps): JSX.Element {
  const facts: [string, string][] = [
    [trans.__('State'), service.sentence],
    [trans.__('Revision'), revisionWords(service, trans)],
    [trans.__('Model'), service.model ? artifactWords(service.model) : trans.__('none')],
    [trans.__('Transformer'), service.transformer ? artifactWords(service.transformer) : trans.__('none')],
    [trans.__('Runtime'), runtimeName(service.runtime, trans)],
    [trans.__('Protocols'), protocolWords(service, trans)],
    [trans.__('Made'), new Date(service.created_at).toLocaleString()],
    [trans.__('Changed'), new Date(service.updated_at).toLocaleString()]
  ];
  const known = facts.filter(([, value]) => value !== '');
  const progress = progressOf({ ...NOTHING_DONE, submitted: [], service });
  const isThere = service.target !== LOCAL_TARGET;
  const isReady = service.state === 'Ready' && service.error === null;
  return (
    <div className="jp-KaleServe-overview">
      {service.stale_since !== null && (
        <p className="jp-KaleServe-groupStale" role="status">
          {trans.__('Stale since %1: the cluster does not answer.', clock(service.stale_since))}
        </p>
      )}
      <dl className="jp-KaleServe-facts">
        {known.map(([name, value]) => (
          <React.Fragment key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </React.Fragment>
        ))}
      </dl>
      {isThere && service.managed && (
        <div>
          <PauseButton service={service} model={model} trans={trans} />
        </div>
      )}
      {isReady && service.next_step && <p className="jp-KaleServe-hint">{service.next_step}</p>}
      {!isReady && (
        <Progress
          progress={progress}
          sentence=""
          nextStep={progress.error?.hint === service.next_step ? null : service.next_step}
          trans={trans}
        />
      )}
      {isThere && (
        <>
          <Drift service={service} model={model} trans={trans} />
          <Pods service={service} trans={trans} />
          <Facts service={service} trans={trans} />
          <Addresses service={service} trans={trans} />
        </>
      )}
      <h3 className="jp-KaleServe-heading">{trans.__('Conditions')}</h3>
      <div className="jp-KaleServe-tableBox" tabIndex={0} role="region" aria-label={trans.__('Conditions')}>
        <table className="jp-KaleServe-table">
          <thead>
            <tr>
              <th scope="col">{trans.__('condition')}</th>
              <th scope="col">{trans.__('holds')}</th>
              <th scope="col">{trans.__('because')}</th>
            </tr>
          </thead>
          <tbody>
            {service.conditions.map(condition => (
              <tr key={condition.type}>
                <td>{condition.type}</td>
                <td>{condition.status}</td>
                <td>{[condition.reason, condition.message].filter(Boolean).join(': ')}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

/** What it answers, the one that is taken without asking first. */
function protocolWords(service: IService, trans: TranslationBundle): string {
  const others = service.protocols.filter(protocol => protocol !== service.protocol);
  const names = [service.protocol, ...others].map(protocol => protocolName(protocol, trans)).join(', ');
  return service.binary ? trans.__('%1; arrays also in binary', names) : names;
}

function artifactWords(artifact: IArtifact): string {
  const framework = artifact.framework && frameworkName(artifact.framework);
  return [`${artifact.name} ${artifact.version ?? ''}`.trim(), artifact.class_name, framework]
    .filter(Boolean)
    .join(' · ');
}
