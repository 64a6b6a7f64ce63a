import React from 'react';

import type { IService } from '../api';
import { CommandIDs } from '../tokens';
import { StateView } from '../ui/StateView';
import { useSignal } from '../ui/useSignal';
import { EndpointGroup } from './EndpointGroup';
import { groupsOf } from './groups';
import type { IPanelProps } from './panelprops';

/** All endpoints, to glance at: this machine's, then the cluster's. */
export function EndpointsSection(props: IPanelProps): JSX.Element {
  const { model, commands, trans } = props;
  useSignal(model.servicesChanged);
  useSignal(model.targets.changed);
  const groups = (services: readonly IService[]): JSX.Element[] => {
    const found = groupsOf(services, model.targets.cluster);
    const hasHeads = found.some(group => !group.isLocal);
    return found.map(group => <EndpointGroup key={group.key} {...props} group={group} hasHead={hasHeads} />);
  };
  return (
    <StateView
      state={model.services}
      trans={trans}
      onRetry={() => void model.refresh()}
      empty={
        <>
          <p>
            {trans.__('An endpoint answers predictions of a model. It goes on when the notebook is closed.')}
          </p>
          {commands.hasCommand(CommandIDs.serveCell) && (
            <button
              type="button"
              className="jp-KaleServe-button"
              onClick={() => void commands.execute(CommandIDs.serveCell)}
            >
              {trans.__('Serve a model from this notebook')}
            </button>
          )}
          {groups([])}
        </>
      }
    >
      {services => <>{groups(services)}</>}
    </StateView>
  );
}
