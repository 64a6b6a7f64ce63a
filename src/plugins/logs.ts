import { ILayoutRestorer } from '@jupyterlab/application';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { listIcon } from '@jupyterlab/ui-components';

import { keyText } from '../api/key';
import { ENDPOINT_ARGS, endpointOf } from '../commands/args';
import type { LogPanel } from '../logs/panel';
import { CommandIDs, IKaleServeModel } from '../tokens';

export const logsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'kale-serve-lab:logs',
  description: 'Follows the log of an endpoint in the main area.',
  autoStart: true,
  requires: [IKaleServeModel],
  optional: [ITranslator, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    model: IKaleServeModel,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('kale_serve_lab');
    const { commands, shell } = app;
    const tracker = new WidgetTracker<MainAreaWidget<LogPanel>>({ namespace: 'kale-serve-logs' });

    commands.addCommand(CommandIDs.showLogs, {
      label: trans.__('Show Logs'),
      caption: trans.__('Follow what an endpoint’s servers write'),
      icon: listIcon,
      describedBy: ENDPOINT_ARGS,
      execute: async args => {
        const key = endpointOf(args);
        if (!key) {
          return;
        }
        const id = `kale-serve-logs:${keyText(key)}`;
        let widget = tracker.find(candidate => candidate.id === id);
        if (!widget) {
          const { LogPanel } = await import('../logs/panel');
          widget = new MainAreaWidget({ content: new LogPanel({ model, serviceKey: key, trans }) });
          widget.id = id;
          await tracker.add(widget);
        }
        if (!widget.isAttached) {
          shell.add(widget, 'main', { mode: 'split-bottom', type: 'Kale Serve' });
        }
        shell.activateById(widget.id);
      }
    });

    void restorer?.restore(tracker, {
      command: CommandIDs.showLogs,
      args: widget => ({ ...widget.content.serviceKey }),
      name: widget => widget.id
    });
  }
};
