import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { keyOf } from '../api/key';
import { kaleServeIcon } from '../icons';
import type { Source } from '../serveform/flow';
import { CommandIDs, IKaleServeModel } from '../tokens';

/** The ways to the serve form: a notebook's cell, an artifact. */
export const servePlugin: JupyterFrontEndPlugin<void> = {
  id: 'kale-serve-lab:serve',
  description: 'Serves a model of a notebook cell, or one that was submitted before.',
  autoStart: true,
  requires: [IKaleServeModel],
  optional: [INotebookTracker, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    model: IKaleServeModel,
    notebooks: INotebookTracker | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('kale_serve_lab');
    const { commands } = app;

    const serve = async (source: Source, title: string): Promise<void> => {
      const { ServeFlow } = await import('../serveform/flow');
      const { showServeDialog } = await import('../serveform/dialog');
      const service = await showServeDialog(new ServeFlow(model, source), title, trans);
      if (service) {
        await commands.execute(CommandIDs.openEndpoint, { ...keyOf(service) });
      }
    };

    commands.addCommand(CommandIDs.serveArtifact, {
      label: trans.__('Serve…'),
      caption: trans.__('Serve a model that has been submitted'),
      icon: kaleServeIcon,
      describedBy: {
        args: {
          type: 'object',
          required: ['id'],
          properties: { id: { type: 'number', description: trans.__('The id of the model’s artifact') } }
        }
      },
      execute: async args => {
        const id = Number(args['id']);
        if (!Number.isInteger(id)) {
          throw new Error(trans.__('Which model? Give the id of its artifact.'));
        }
        await serve({ kind: 'artifact', id }, trans.__('Serve a model'));
      }
    });

    if (!notebooks) {
      return;
    }
    commands.addCommand(CommandIDs.serveCell, {
      label: trans.__('Serve this model'),
      caption: trans.__('Serve a model that this cell has trained'),
      icon: kaleServeIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      isEnabled: () => notebooks.activeCell?.model.type === 'code',
      execute: async () => {
        const cell = notebooks.activeCell;
        const context = notebooks.currentWidget?.sessionContext;
        if (!cell || !context) {
          return;
        }
        const { NotebookKernel } = await import('../kernel');
        const kernel = new NotebookKernel(context, app.serviceManager.kernels, model.client);
        const count = cell.model.type === 'code' ? cell.model.sharedModel.toJSON().execution_count : null;
        await serve(
          { kind: 'kernel', kernel, cellSource: cell.model.sharedModel.getSource() },
          typeof count === 'number'
            ? trans.__('Serve a model from cell [%1]', count)
            : trans.__('Serve a model from this cell')
        );
      }
    });
    palette?.addItem({ command: CommandIDs.serveCell, category: trans.__('Kale Serve') });
  }
};
