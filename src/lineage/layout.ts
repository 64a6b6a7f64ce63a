import type { ILineage, ILineageEdge, ILineageNode } from '../api';

export interface IPlacedNode {
  node: ILineageNode;
  x: number;
  y: number;
}

export interface IPlacedEdge {
  edge: ILineageEdge;
  /** An SVG path from the end of one box to the start of the other. */
  path: string;
  /** What the path does not leave. */
  bounds: { x: number; y: number; width: number; height: number };
}

export interface IPlacedGraph {
  nodes: IPlacedNode[];
  edges: IPlacedEdge[];
  width: number;
  height: number;
}

/** Which way the data runs on the page. */
export type Direction = 'across' | 'down';

export interface IBox {
  width: number;
  height: number;
  /** Between layers, along the data. */
  layerGap: number;
  /** Between nodes of one layer. */
  nodeGap: number;
}

const SWEEPS = 8;
const MARGIN = 8;

/** Place a lineage in layers: longest path, then barycentre sweeps against crossings. */
export function layout(lineage: ILineage, box: IBox, direction: Direction): IPlacedGraph {
  const layers = inLayers(lineage);
  untangle(layers, neighbours(lineage));
  const span = (count: number, size: number, gap: number) => count * size + Math.max(0, count - 1) * gap;
  const along = direction === 'across' ? box.width : box.height;
  const beside = direction === 'across' ? box.height : box.width;
  const widest = Math.max(1, ...layers.map(layer => layer.length));
  const breadth = span(widest, beside, box.nodeGap);
  const byKey = new Map(lineage.nodes.map(node => [node.key, node]));
  const placed = new Map<string, IPlacedNode>();
  layers.forEach((layer, depth) => {
    const main = MARGIN + depth * (along + box.layerGap);
    const start = MARGIN + (breadth - span(layer.length, beside, box.nodeGap)) / 2;
    layer.forEach((key, index) => {
      const node = byKey.get(key);
      if (node) {
        const cross = start + index * (beside + box.nodeGap);
        placed.set(key, direction === 'across' ? { node, x: main, y: cross } : { node, x: cross, y: main });
      }
    });
  });
  const length = span(layers.length, along, box.layerGap) + 2 * MARGIN;
  return {
    nodes: [...placed.values()],
    edges: drawEdges(lineage, placed, box, direction),
    width: direction === 'across' ? length : breadth + 2 * MARGIN,
    height: direction === 'across' ? breadth + 2 * MARGIN : length
  };
}

interface INeighbours {
  next: Map<string, string[]>;
  previous: Map<string, string[]>;
}

function neighbours(lineage: ILineage): INeighbours {
  const next = new Map<string, string[]>(lineage.nodes.map(node => [node.key, []]));
  const previous = new Map<string, string[]>(lineage.nodes.map(node => [node.key, []]));
  for (const { from, to } of lineage.edges) {
    if (next.has(from) && next.has(to)) {
      next.get(from)?.push(to);
      previous.get(to)?.push(from);
    }
  }
  return { next, previous };
}

/** Longest path from a source; a source stands right before what it first goes into. */
function inLayers(lineage: ILineage): string[][] {
  const { next, previous } = neighbours(lineage);
  const order = topological(lineage, next, previous);
  const rank = new Map(order.map((key, index) => [key, index]));
  const isForward = (from: string, to: string) => (rank.get(from) ?? 0) < (rank.get(to) ?? 0);
  const depth = new Map<string, number>();
  for (const key of order) {
    const before = (previous.get(key) ?? []).filter(other => isForward(other, key));
    depth.set(key, Math.max(0, ...before.map(other => (depth.get(other) ?? 0) + 1)));
  }
  for (const key of order) {
    const after = (next.get(key) ?? []).filter(other => isForward(key, other));
    if ((previous.get(key) ?? []).length === 0 && after.length > 0) {
      depth.set(key, Math.min(...after.map(other => depth.get(other) ?? 0)) - 1);
    }
  }
  const layers: string[][] = [];
  for (const key of order) {
    const at = depth.get(key) ?? 0;
    (layers[at] ??= []).push(key);
  }
  return layers.filter(layer => layer !== undefined);
}

/** Kahn's order; lineage has no cycles, but a damaged one must not hang the page: its rest follows as it came. */
function topological(
  lineage: ILineage,
  next: Map<string, string[]>,
  previous: Map<string, string[]>
): string[] {
  const waiting = new Map(lineage.nodes.map(node => [node.key, (previous.get(node.key) ?? []).length]));
  const open = lineage.nodes.map(node => node.key).filter(key => waiting.get(key) === 0);
  const order: string[] = [];
  for (let index = 0; index < open.length; index++) {
    const key = open[index];
    order.push(key);
    for (const other of next.get(key) ?? []) {
      const left = (waiting.get(other) ?? 0) - 1;
      waiting.set(other, left);
      if (left === 0) {
        open.push(other);
      }
    }
  }
  const done = new Set(order);
  return [...order, ...lineage.nodes.map(node => node.key).filter(key => !done.has(key))];
}

function untangle(layers: string[][], { next, previous }: INeighbours): void {
  const place = new Map<string, number>();
  const note = (layer: string[]) =>
    layer.forEach((key, index) => place.set(key, (index + 0.5) / layer.length));
  layers.forEach(note);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const forward = sweep % 2 === 0;
    const sides = forward ? previous : next;
    for (const layer of forward ? layers : [...layers].reverse()) {
      const centre = new Map(layer.map(key => [key, barycentre(key, sides, place)]));
      layer.sort((a, b) => (centre.get(a) ?? 0) - (centre.get(b) ?? 0));
      note(layer);
    }
  }
}

function barycentre(key: string, sides: Map<string, string[]>, place: Map<string, number>): number {
  const others = sides.get(key) ?? [];
  if (others.length === 0) {
    return place.get(key) ?? 0;
  }
  return others.reduce((sum, other) => sum + (place.get(other) ?? 0), 0) / others.length;
}

function drawEdges(
  lineage: ILineage,
  placed: Map<string, IPlacedNode>,
  box: IBox,
  direction: Direction
): IPlacedEdge[] {
  const edges: IPlacedEdge[] = [];
  for (const edge of lineage.edges) {
    const from = placed.get(edge.from);
    const to = placed.get(edge.to);
    if (from && to) {
      edges.push({ edge, ...curve(from, to, box, direction) });
    }
  }
  return edges;
}

function curve(
  from: IPlacedNode,
  to: IPlacedNode,
  box: IBox,
  direction: Direction
): Pick<IPlacedEdge, 'path' | 'bounds'> {
  const isAcross = direction === 'across';
  const [x1, y1] = isAcross
    ? [from.x + box.width, from.y + box.height / 2]
    : [from.x + box.width / 2, from.y + box.height];
  const [x2, y2] = isAcross ? [to.x, to.y + box.height / 2] : [to.x + box.width / 2, to.y];
  const middle = isAcross ? (x1 + x2) / 2 : (y1 + y2) / 2;
  // Both handles lie between the ends, and a curve stays within its ends and handles.
  const handles = isAcross ? `${middle} ${y1} ${middle} ${y2}` : `${x1} ${middle} ${x2} ${middle}`;
  return {
    path: `M${x1} ${y1}C${handles} ${x2} ${y2}`,
    bounds: { x: Math.min(x1, x2), y: Math.min(y1, y2), width: Math.abs(x2 - x1), height: Math.abs(y2 - y1) }
  };
}
