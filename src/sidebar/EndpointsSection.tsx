import React from 'react';

import { keyText } from '../api';
import { CommandIDs } from '../tokens';
import { StateView } from '../ui/StateView';
import { useSignal } from '../ui/useSignal';
import { EndpointRow } from './EndpointRow';
import type { IPanelProps } from './panelprops';

/** All endpoints, to glance at. */
export function EndpointsSection(props: IPanelProps): JSX.Element {
  const { model, commands, trans } = props;
  useSignal(model.servicesChanged);
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
        </>
      }
    >
      {services => (
        <ul className="jp-KaleServe-list">
          {services.map(service => (
            <EndpointRow key={keyText(service)} {...props} service={service} />
          ))}
        </ul>
      )}
    </StateView>
  );
}
