import { deleteIcon } from '@jupyterlab/ui-components';
import React, { useEffect } from 'react';

import type { IMadeEnvironment, IService } from '../api';
import { dataOf } from '../model/state';
import { CommandIDs } from '../tokens';
import { StateView } from '../ui/StateView';
import { useSignal } from '../ui/useSignal';
import { ago, size } from '../ui/words';
import type { IPanelProps } from './panelprops';

/** What was made on this machine for other model servers: what for, how large, and how to be rid of it. */
export function EnvironmentsSection(props: IPanelProps): JSX.Element {
  const { model, trans } = props;
  const { environments } = model;
  useSignal(environments.changed);
  useSignal(model.servicesChanged);
  const making = beingMade(dataOf(model.services) ?? []);
  // When it is shown, and when one that was being made is there (or is not, after all).
  useEffect(() => void environments.load(), [environments, making]);
  return (
    <StateView
      state={environments.state}
      trans={trans}
      onRetry={() => void environments.load()}
      empty={
        <p>
          {trans.__(
            'None yet. A model server other than the built-in one gets an environment of its own here, made once and kept.'
          )}
        </p>
      }
    >
      {items => (
        <ul className="jp-KaleServe-list">
          {items.map(item => (
            <EnvironmentRow key={item.name} {...props} environment={item} />
          ))}
        </ul>
      )}
    </StateView>
  );
}

function beingMade(services: readonly IService[]): number {
  return services.filter(service =>
    service.stages.some(stage => stage.name === 'environment' && stage.state === 'running')
  ).length;
}

function EnvironmentRow({
  environment,
  commands,
  trans
}: IPanelProps & { environment: IMadeEnvironment }): JSX.Element {
  const { name, label, path, complete, used_by: users } = environment;
  const facts = [
    environment.size === null ? null : size(environment.size),
    complete ? ago(environment.created_at, Date.now(), trans) : trans.__('not complete'),
    users.length > 0 ? trans.__('used by %1', users.join(', ')) : trans.__('used by none')
  ];
  return (
    <li className="jp-KaleServe-item">
      <div className="jp-KaleServe-line">
        <span className="jp-KaleServe-title" title={[path, ...environment.requirements].join('\n')}>
          {label}
        </span>
        <span className="jp-KaleServe-grow" />
        <button
          type="button"
          className="jp-KaleServe-iconButton"
          aria-label={trans.__('Remove the environment %1', label)}
          title={trans.__('Remove the environment %1', label)}
          onClick={() => void commands.execute(CommandIDs.deleteEnvironment, { name, label })}
        >
          <deleteIcon.react tag="span" width="14px" height="14px" />
        </button>
      </div>
      <p className="jp-KaleServe-sub">{facts.filter(Boolean).join(' · ')}</p>
    </li>
  );
}
