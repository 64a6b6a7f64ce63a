import { ILayoutRestorer } from '@jupyterlab/application';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { WidgetTracker } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

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
      describedBy: {
        args: {
          type: 'object',
          required: ['name'],
          properties: {
            name: { type: 'string', description: trans.__('The name of the endpoint') },
            namespace: { type: 'string', description: trans.__('Its namespace; "default" if left out') }
          }
        }
      },
      execute: async args => {
        const name = String(args['name'] ?? '');
        const namespace = String(args['namespace'] ?? 'default');
        if (name === '') {
          throw new Error(trans.__('Which endpoint? Give its name.'));
        }
        const { EndpointPanel } = await import('../playground/panel');
        let panel = tracker.find(
          widget => widget.endpoint.name === name && widget.endpoint.namespace === namespace
        );
        if (!panel) {
          panel = new EndpointPanel(model, { name, namespace }, trans);
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
        name: panel => `${panel.endpoint.namespace}/${panel.endpoint.name}`
      });
    }
  }
};
