import { ILayoutRestorer } from '@jupyterlab/application';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { ARTIFACT_ARGS, artifactOf } from '../commands/args';
import { lineageIcon } from '../icons';
import type { LineagePanel } from '../lineage/panel';
import { CommandIDs, IKaleServeModel } from '../tokens';

export const lineagePlugin: JupyterFrontEndPlugin<void> = {
  id: 'kale-serve-lab:lineage',
  description: 'Shows in the main area what an artifact was made from and where it went.',
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
    const tracker = new WidgetTracker<MainAreaWidget<LineagePanel>>({ namespace: 'kale-serve-lineage' });

    commands.addCommand(CommandIDs.showLineage, {
      label: trans.__('Show Lineage'),
      caption: trans.__('What it was made from and where it is served'),
      icon: lineageIcon,
      describedBy: ARTIFACT_ARGS,
      execute: async args => {
        const artifact = artifactOf(args);
        if (!artifact) {
          return;
        }
        const id = `kale-serve-lineage:${artifact.id}`;
        let widget = tracker.find(candidate => candidate.id === id);
        if (!widget) {
          const { LineagePanel } = await import('../lineage/panel');
          const selection = { artifact: artifact.id, label: artifact.label };
          widget = new MainAreaWidget({ content: new LineagePanel({ model, commands, selection, trans }) });
          widget.id = id;
          widget.toolbar.hide();
          await tracker.add(widget);
        }
        if (!widget.isAttached) {
          shell.add(widget, 'main', { type: 'Kale Serve' });
        }
        shell.activateById(widget.id);
      }
    });

    void restorer?.restore(tracker, {
      command: CommandIDs.showLineage,
      args: widget => ({ id: widget.content.selection.artifact, label: widget.content.selection.label }),
      name: widget => widget.id
    });
  }
};
