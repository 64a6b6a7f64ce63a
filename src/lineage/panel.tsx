import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import React, { useState } from 'react';

import { lineageIcon } from '../icons';
import type { IKaleServeModel, ISelection } from '../tokens';
import { LineageView } from './LineageView';

/** The lineage of an artifact in the main area. */
export class LineagePanel extends ReactWidget {
  constructor(options: LineagePanel.IOptions) {
    super();
    this._options = options;
    this.addClass('jp-KaleServe');
    this.title.icon = lineageIcon;
    this.title.label = options.trans.__('Lineage of %1', options.selection.label);
  }

  get selection(): ISelection {
    return this._options.selection;
  }

  protected override render(): JSX.Element {
    return <LineagePage {...this._options} />;
  }

  private readonly _options: LineagePanel.IOptions;
}

export namespace LineagePanel {
  export interface IOptions {
    model: IKaleServeModel;
    commands: CommandRegistry;
    selection: ISelection;
    trans: TranslationBundle;
  }
}

function LineagePage(props: LineagePanel.IOptions): JSX.Element {
  const { trans } = props;
  const [selection, select] = useState(props.selection);
  return (
    <div className="jp-KaleServe-lineagePage">
      <div className="jp-KaleServe-line">
        <h2 className="jp-KaleServe-title">{trans.__('Lineage of %1', selection.label)}</h2>
      </div>
      <div className="jp-KaleServe-canvas">
        <LineageView {...props} selection={selection} direction="across" onSelect={select} />
      </div>
    </div>
  );
}
