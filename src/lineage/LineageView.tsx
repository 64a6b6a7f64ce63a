import { Debouncer } from '@lumino/polling';
import React, { useEffect, useState } from 'react';

import { asApiError, keyFrom } from '../api';
import type { ILineage, ILineageNode, IServiceKey } from '../api';
import { failed } from '../model/state';
import type { PanelState } from '../model/state';
import { CommandIDs } from '../tokens';
import type { ISelection } from '../tokens';
import type { IPanelProps } from '../sidebar/panelprops';
import { StateView } from '../ui/StateView';
import { isEndpoint, nodeTitle } from './describe';
import type { Direction } from './layout';
import { LineageGraph } from './LineageGraph';
import { LineageTree } from './LineageTree';

/** Changes come in bursts (stages of a start); the lineage is asked for once they pause, in milliseconds. */
const PAUSE = 400;

export interface ILineageViewProps extends Pick<IPanelProps, 'model' | 'commands' | 'trans'> {
  selection: ISelection;
  direction: Direction;
  onSelect: (selection: ISelection) => void;
}

/** The lineage of one artifact, kept fresh. */
export function LineageView(props: ILineageViewProps): JSX.Element {
  const { model, commands, trans, selection, direction, onSelect } = props;
  const [state, reload] = useLineage(props);
  const [active, setActive] = useState<string | null>(null);
  const onActivate = (node: ILineageNode): void => {
    if (isEndpoint(node)) {
      void commands.execute(CommandIDs.openEndpoint, { ...keyOf(node) });
    } else if (node.kind === 'artifact') {
      onSelect({ artifact: node.id, label: nodeTitle(node) });
    }
  };
  const liveState = (node: ILineageNode): string | null =>
    isEndpoint(node) ? (model.service(keyOf(node))?.state ?? null) : null;
  return (
    <StateView
      state={state}
      trans={trans}
      onRetry={reload}
      empty={<p>{trans.__('Nothing is recorded about %1 beyond itself.', selection.label)}</p>}
    >
      {lineage => {
        const common = { lineage, root: lineage.root, trans, liveState, onActivate };
        return (
          <div className="jp-KaleServe-lineage">
            <LineageTree {...common} onFocus={node => setActive(node?.key ?? null)} />
            <LineageGraph {...common} active={active} direction={direction} />
            {lineage.truncated && (
              <p className="jp-KaleServe-sub" role="status">
                {trans.__('Only the nearest %1 nodes are shown.', lineage.nodes.length)}
              </p>
            )}
          </div>
        );
      }}
    </StateView>
  );
}

function keyOf(node: ILineageNode): IServiceKey {
  const { target, namespace } = node.properties;
  return keyFrom(node.name, { target, namespace });
}

function useLineage({ model, selection }: ILineageViewProps): [PanelState<ILineage>, () => void] {
  const [state, setState] = useState<PanelState<ILineage>>({ kind: 'loading' });
  const [wanted, want] = useState(0);
  const id = selection.artifact;
  useEffect(() => {
    const debouncer = new Debouncer(() => want(count => count + 1), PAUSE);
    const onChange = (): void => {
      void debouncer.invoke();
    };
    model.serviceChanged.connect(onChange);
    model.modelsChanged.connect(onChange);
    return () => {
      model.serviceChanged.disconnect(onChange);
      model.modelsChanged.disconnect(onChange);
      debouncer.dispose();
    };
  }, [model]);
  useEffect(() => setState({ kind: 'loading' }), [id]);
  useEffect(() => {
    const abort = new AbortController();
    model.client.lineage(id, abort.signal).then(
      lineage => {
        if (!abort.signal.aborted) {
          setState(lineage.nodes.length > 0 ? { kind: 'ready', data: lineage } : { kind: 'empty' });
        }
      },
      (reason: unknown) => {
        if (!abort.signal.aborted) {
          setState(before => failed(before, asApiError(reason), Date.now()));
        }
      }
    );
    return () => abort.abort();
  }, [model, id, wanted]);
  return [state, () => want(count => count + 1)];
}
