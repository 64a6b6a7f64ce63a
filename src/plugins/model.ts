import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';

// eslint-disable-next-line jupyter/prefer-lazy-imports -- what activation provides
import { ApiClient } from '../api';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- what activation provides
import { KaleServeModel } from '../model/model';
import { IKaleServeModel } from '../tokens';

export const modelPlugin: JupyterFrontEndPlugin<IKaleServeModel> = {
  id: 'kale-serve-lab:model',
  description: 'Provides what is known of model artifacts and endpoints, live.',
  autoStart: true,
  provides: IKaleServeModel,
  activate: (app: JupyterFrontEnd): IKaleServeModel => {
    const { serverSettings, events, connectionFailure } = app.serviceManager;
    const model = new KaleServeModel({ client: new ApiClient(serverSettings), events });
    connectionFailure.connect(model.onConnectionFailure, model);
    void model.start();
    return model;
  }
};
