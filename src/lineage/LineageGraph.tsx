import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useMemo } from 'react';

import type { ILineage, ILineageNode } from '../api';
import { isEndpoint, nodeCaption, nodeTitle, shorten } from './describe';
import { layout } from './layout';
import type { Direction, IBox, IPlacedGraph } from './layout';
import { LineageCanvas } from './LineageCanvas';
import type { ILook, Tone } from './paint';
import { Viewport } from './Viewport';
import type { IRect } from './viewport';

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

const ACROSS: IBox = { width: 152, height: 42, layerGap: 32, nodeGap: 16 };
const DOWN: IBox = { width: 108, height: 38, layerGap: 24, nodeGap: 8 };

/** Above so many nodes moving an SVG stutters, and the lineage is drawn on a canvas. */
export const MOST_IN_SVG = 300;

/**
 * A lineage as boxes and curves. It only draws: `layout` places. Hidden from screen readers, which have the tree.
 * A small one in the side bar stands still, so that the wheel scrolls the side bar.
 */
export function LineageGraph(props: ILineageGraphProps): JSX.Element {
  const { lineage, direction, root, active, trans, onActivate } = props;
  const box = direction === 'across' ? ACROSS : DOWN;
  const graph = useMemo(() => layout(lineage, box, direction), [lineage, box, direction]);
  const looks = graph.nodes.map((placed): ILook => {
    const { node } = placed;
    const live = props.liveState(node);
    return {
      placed,
      title: nodeTitle(node),
      caption: nodeCaption(node, live, trans),
      tone: toneOf(node, root, live),
      isActive: node.key === active
    };
  });
  const isLarge = graph.nodes.length > MOST_IN_SVG;
  const boxes = isLarge ? null : <Boxes graph={graph} looks={looks} box={box} onActivate={onActivate} />;
  if (direction === 'down' && !isLarge) {
    return (
      <svg
        className="jp-KaleServe-graph"
        width={graph.width}
        height={graph.height}
        viewBox={`0 0 ${graph.width} ${graph.height}`}
        aria-hidden="true"
        focusable="false"
      >
        {boxes}
      </svg>
    );
  }
  const rectOf = (key: string | null): IRect | null => {
    const placed = graph.nodes.find(({ node }) => node.key === key);
    return placed ? { x: placed.x, y: placed.y, width: box.width, height: box.height } : null;
  };
  return (
    <Viewport drawing={graph} about={root} aboutBox={rectOf(root)} active={rectOf(active)} trans={trans}>
      {(view, seen) =>
        isLarge ? (
          <LineageCanvas
            graph={graph}
            looks={looks}
            box={box}
            view={view}
            seen={seen}
            onActivate={onActivate}
          />
        ) : (
          <svg className="jp-KaleServe-graph" aria-hidden="true" focusable="false">
            <g transform={`translate(${view.x} ${view.y}) scale(${view.scale})`}>{boxes}</g>
          </svg>
        )
      }
    </Viewport>
  );
}

function toneOf(node: ILineageNode, root: string, live: string | null): Tone {
  if (isEndpoint(node) && live === 'Ready') {
    return 'ready';
  }
  if (isEndpoint(node) && live === 'Failed') {
    return 'failed';
  }
  return node.key === root ? 'root' : 'plain';
}

interface IBoxesProps {
  graph: IPlacedGraph;
  looks: readonly ILook[];
  box: IBox;
  onActivate: (node: ILineageNode) => void;
}

function Boxes({ graph, looks, box, onActivate }: IBoxesProps): JSX.Element {
  return (
    <>
      {graph.edges.map(({ edge, path }) => (
        <path key={`${edge.from} ${edge.to}`} className="jp-KaleServe-edge" d={path} />
      ))}
      {looks.map(look => (
        <Box key={look.placed.node.key} look={look} box={box} onClick={() => onActivate(look.placed.node)} />
      ))}
    </>
  );
}

function Box({ look, box, onClick }: { look: ILook; box: IBox; onClick: () => void }): JSX.Element {
  const { placed, title, caption, tone } = look;
  const { node, x, y } = placed;
  const room = Math.floor((box.width - 20) / 6.4);
  const inset = node.kind === 'execution' ? 18 : 10;
  const classes = ['jp-KaleServe-node', `jp-mod-${node.kind}`, `jp-mod-${tone}`];
  if (look.isActive) {
    classes.push('jp-mod-active');
  }
  return (
    <g className={classes.join(' ')} transform={`translate(${x} ${y})`} onClick={onClick}>
      <title>{`${title}\n${caption}`}</title>
      <rect width={box.width} height={box.height} rx={node.kind === 'execution' ? box.height / 2 : 6} />
      <text x={inset} y={box.height / 2 - 3}>
        {shorten(title, room)}
      </text>
      <text className="jp-KaleServe-caption" x={inset} y={box.height / 2 + 12}>
        {shorten(caption, room)}
      </text>
    </g>
  );
}
