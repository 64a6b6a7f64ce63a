import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useMemo } from 'react';

import type { ILineage, ILineageNode } from '../api';
import { isEndpoint, nodeCaption, nodeTitle, shorten } from './describe';
import { layout } from './layout';
import type { Direction, IBox, IPlacedNode } from './layout';

export interface ILineageGraphProps {
  lineage: ILineage;
  root: string;
  /** The node that the keyboard is on, in the tree mirror. */
  active: string | null;
  direction: Direction;
  trans: TranslationBundle;
  /** The state of an endpoint right now, where it is known. */
  liveState: (node: ILineageNode) => string | null;
  onActivate: (node: ILineageNode) => void;
}

const ACROSS: IBox = { width: 168, height: 42, layerGap: 48, nodeGap: 20 };
const DOWN: IBox = { width: 108, height: 38, layerGap: 24, nodeGap: 8 };

/**
 * A lineage as boxes and curves. It only draws: `layout` places. Hidden from screen readers, which have the tree.
 */
export function LineageGraph(props: ILineageGraphProps): JSX.Element {
  const { lineage, direction } = props;
  const box = direction === 'across' ? ACROSS : DOWN;
  const graph = useMemo(() => layout(lineage, box, direction), [lineage, box, direction]);
  return (
    <svg
      className="jp-KaleServe-graph"
      width={graph.width}
      height={graph.height}
      viewBox={`0 0 ${graph.width} ${graph.height}`}
      aria-hidden="true"
      focusable="false"
    >
      <g>
        {graph.edges.map(({ edge, path }) => (
          <path key={`${edge.from} ${edge.to}`} className="jp-KaleServe-edge" d={path} />
        ))}
      </g>
      <g>
        {graph.nodes.map(placed => (
          <Box key={placed.node.key} {...props} placed={placed} box={box} />
        ))}
      </g>
    </svg>
  );
}

interface IBoxProps extends ILineageGraphProps {
  placed: IPlacedNode;
  box: IBox;
}

function Box({ placed, box, root, active, trans, liveState, onActivate }: IBoxProps): JSX.Element {
  const { node, x, y } = placed;
  const live = liveState(node);
  const title = nodeTitle(node);
  const caption = nodeCaption(node, live, trans);
  const room = Math.floor((box.width - 20) / 6.4);
  const classes = ['jp-KaleServe-node', `jp-mod-${node.kind}`];
  if (node.key === root) {
    classes.push('jp-mod-root');
  }
  if (node.key === active) {
    classes.push('jp-mod-active');
  }
  if (isEndpoint(node)) {
    classes.push('jp-mod-endpoint', `jp-mod-${(live ?? 'unknown').toLowerCase()}`);
  }
  return (
    <g className={classes.join(' ')} transform={`translate(${x} ${y})`} onClick={() => onActivate(node)}>
      <title>{`${title}\n${caption}`}</title>
      <rect width={box.width} height={box.height} rx={node.kind === 'execution' ? box.height / 2 : 6} />
      <text x={node.kind === 'execution' ? 18 : 10} y={box.height / 2 - 3}>
        {shorten(title, room)}
      </text>
      <text className="jp-KaleServe-caption" x={node.kind === 'execution' ? 18 : 10} y={box.height / 2 + 12}>
        {shorten(caption, room)}
      </text>
    </g>
  );
}
