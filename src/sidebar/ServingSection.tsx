import React from 'react';

import { keyOf, keyText } from '../api';
import type { IService, ServiceState } from '../api';
import { dataOf } from '../model/state';
import { CommandIDs } from '../tokens';
import { Stages } from '../ui/Stages';
import { useSignal } from '../ui/useSignal';
import type { IPanelProps } from './panelprops';

const UNDER_WAY: readonly ServiceState[] = ['Pending', 'Loading', 'Updating'];

export function underWay(services: readonly IService[]): IService[] {
  return services.filter(service => UNDER_WAY.includes(service.state));
}

/** What is on its way to ready, stage by stage. */
export function ServingSection({ model, commands, trans }: IPanelProps): JSX.Element {
  useSignal(model.servicesChanged);
  const services = underWay(dataOf(model.services) ?? []);
  if (services.length === 0) {
    return (
      <p className="jp-KaleServe-note">
        {trans.__('Nothing is on its way. What you serve shows its stages here.')}
      </p>
    );
  }
  return (
    <ul className="jp-KaleServe-list" role="list" aria-live="polite">
      {services.map(service => (
        <li className="jp-KaleServe-item" key={keyText(service)}>
          <div className="jp-KaleServe-line">
            <button
              type="button"
              className="jp-KaleServe-name"
              onClick={() => void commands.execute(CommandIDs.openEndpoint, { ...keyOf(service) })}
            >
              {service.name}
            </button>
            <span className="jp-KaleServe-grow" />
            <span className="jp-KaleServe-sub">{trans.__('revision %1', service.revision)}</span>
          </div>
          <Stages stages={service.stages} trans={trans} />
        </li>
      ))}
    </ul>
  );
}
