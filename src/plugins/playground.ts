import { ILayoutRestorer } from '@jupyterlab/application';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { WidgetTracker } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { isSameKey, keyText } from '../api/key';
import { ENDPOINT_ARGS, endpointOf } from '../commands/args';
import { kaleServeIcon } from '../icons';
import type { EndpointPanel } from '../playground/panel';
import { CommandIDs, IKaleServeModel } from '../tokens';

/** The endpoint's panel: try it, consume it, see how it stands. */
export const playgroundPlugin: JupyterFrontEndPlugin<void> = {
  id: 'kale-serve-lab:playground',
  description: 'Opens an endpoint in the main area, to try predictions and to copy the call.',
  autoStart: true,
  requires: [IKaleServeModel],
  optional: [ITranslator, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    model: IKaleServeModel,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null
  ) => {
    const trans = (translator ?? nullTranslator).load('kale_serve_lab');
    const tracker = new WidgetTracker<EndpointPanel>({ namespace: 'kale-serve-endpoint' });
    app.commands.addCommand(CommandIDs.openEndpoint, {
      label: args => (args['name'] ? trans.__('Open %1', String(args['name'])) : trans.__('Open Endpoint')),
      caption: trans.__('Try predictions of an endpoint, and copy the call'),
      icon: kaleServeIcon,
      describedBy: ENDPOINT_ARGS,
      execute: async args => {
        const key = endpointOf(args);
        if (!key) {
          throw new Error(trans.__('Which endpoint? Give its name.'));
        }
        const { EndpointPanel } = await import('../playground/panel');
        let panel = tracker.find(widget => isSameKey(widget.endpoint, key));
        if (!panel) {
          panel = new EndpointPanel(model, key, trans);
          void tracker.add(panel);
        }
        if (!panel.isAttached) {
          app.shell.add(panel, 'main');
        }
        app.shell.activateById(panel.id);
        return panel;
      }
    });
    if (restorer) {
      void restorer.restore(tracker, {
        command: CommandIDs.openEndpoint,
        args: panel => ({ ...panel.endpoint }),
        name: panel => keyText(panel.endpoint)
      });
    }
  }
};
