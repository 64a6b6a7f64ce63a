import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import { createElement } from 'react';

import { StatusItem } from '../status/StatusItem';
import { dataOf } from '../model/state';
import { IKaleServeModel } from '../tokens';

export const statusPlugin: JupyterFrontEndPlugin<void> = {
  id: 'kale-serve-lab:status',
  description: 'How many endpoints answer, in the status bar.',
  autoStart: true,
  requires: [IKaleServeModel, IStatusBar],
  optional: [ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IKaleServeModel,
    statusBar: IStatusBar,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('kale_serve_lab');
    statusBar.registerStatusItem('kale-serve-lab:status', {
      item: ReactWidget.create(createElement(StatusItem, { model, commands: app.commands, trans })),
      align: 'left',
      rank: 5,
      // Nobody who serves nothing needs a line about it.
      isActive: () => (dataOf(model.services) ?? []).length > 0,
      activeStateChanged: model.servicesChanged
    });
  }
};
