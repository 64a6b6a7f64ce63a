import { ILabShell, ILayoutRestorer } from '@jupyterlab/application';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { NO_ARGS } from '../commands/args';
import { kaleServeIcon } from '../icons';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- a side bar is restored when the application starts
import { KaleServeSidebar } from '../sidebar/sidebar';
import { CommandIDs, IKaleServeModel } from '../tokens';

const RANK = 520;

export const sidebarPlugin: JupyterFrontEndPlugin<void> = {
  id: 'kale-serve-lab:sidebar',
  description:
    'The side bar with endpoints, models, what is being served now and the lineage of the selection.',
  autoStart: true,
  requires: [IKaleServeModel],
  optional: [ITranslator, ILabShell, ILayoutRestorer, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    model: IKaleServeModel,
    translator: ITranslator | null,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null
  ): void => {
    const { commands, shell } = app;
    const known = translator ?? nullTranslator;
    const trans = known.load('kale_serve_lab');
    const sidebar = new KaleServeSidebar({ model, commands, translator: known });
    shell.add(sidebar, labShell ? 'right' : 'left', { rank: RANK, type: 'Kale Serve' });
    restorer?.add(sidebar, 'kale-serve-sidebar');

    commands.addCommand(CommandIDs.showSidebar, {
      label: trans.__('Show Kale Serve'),
      caption: trans.__('Show endpoints, models and lineage in the side bar'),
      icon: kaleServeIcon,
      describedBy: NO_ARGS,
      execute: () => shell.activateById(sidebar.id)
    });
    palette?.addItem({ command: CommandIDs.showSidebar, category: trans.__('Kale Serve') });
  }
};
