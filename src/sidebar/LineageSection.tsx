import React from 'react';

import { LineageView } from '../lineage/LineageView';
import { CommandIDs } from '../tokens';
import { useSignal } from '../ui/useSignal';
import type { IPanelProps } from './panelprops';

/** Where the selected artifact came from and where it went. */
export function LineageSection({ model, commands, trans }: IPanelProps): JSX.Element {
  useSignal(model.selectionChanged);
  useSignal(model.servicesChanged);
  const selection = model.selection;
  if (!selection) {
    return (
      <p className="jp-KaleServe-note">
        {trans.__('Choose a model above to see what it was made from and where it is served.')}
      </p>
    );
  }
  return (
    <>
      <div className="jp-KaleServe-line jp-KaleServe-lineageHead">
        <span className="jp-KaleServe-title">{selection.label}</span>
        <span className="jp-KaleServe-grow" />
        <button
          type="button"
          className="jp-KaleServe-link"
          onClick={() =>
            void commands.execute(CommandIDs.showLineage, { id: selection.artifact, label: selection.label })
          }
        >
          {trans.__('open large')}
        </button>
      </div>
      <LineageView
        model={model}
        commands={commands}
        trans={trans}
        selection={selection}
        direction="down"
        onSelect={chosen => model.select(chosen)}
      />
    </>
  );
}
