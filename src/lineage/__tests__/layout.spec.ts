import { lineage } from '../../__tests__/fixtures';
import { layout } from '../layout';
import type { IPlacedGraph } from '../layout';
import { mirror, walk } from '../mirror';

const BOX = { width: 100, height: 40, layerGap: 50, nodeGap: 10 };

function at(graph: IPlacedGraph): Map<string, { x: number; y: number }> {
  return new Map(graph.nodes.map(({ node, x, y }) => [node.key, { x, y }]));
}

const RUN = lineage(
  'artifact:3',
  ['artifact:1', 'execution:1'],
  ['artifact:2', 'execution:1'],
  ['execution:1', 'artifact:3'],
  ['artifact:3', 'execution:2'],
  ['artifact:4', 'execution:2'],
  ['execution:2', 'artifact:5']
);

describe('layout', () => {
  it('runs every edge the way of the data', () => {
    const graph = layout(RUN, BOX, 'across');
    const place = at(graph);
    for (const { from, to } of RUN.edges) {
      expect(place.get(from)?.x).toBeLessThan(place.get(to)?.x ?? 0);
    }
  });

  it('puts a source right before what it goes into', () => {
    const place = at(layout(RUN, BOX, 'across'));
    expect(place.get('artifact:4')?.x).toBe(place.get('artifact:3')?.x);
  });

  it('lays no box over another, across and down', () => {
    for (const direction of ['across', 'down'] as const) {
      const places = layout(RUN, BOX, direction).nodes;
      for (const a of places) {
        for (const b of places) {
          const apart = Math.abs(a.x - b.x) >= BOX.width || Math.abs(a.y - b.y) >= BOX.height;
          expect(a === b || apart).toBe(true);
        }
      }
    }
  });

  it('untangles two chains that came in the wrong order', () => {
    const crossed = lineage('a', ['a', 'd'], ['b', 'c'], ['c', 'e'], ['d', 'f']);
    const place = at(layout(crossed, BOX, 'across'));
    const up = (key: string) => place.get(key)?.y ?? 0;
    expect(up('a') < up('b')).toBe(up('d') < up('c'));
  });

  it('places every node even where a damaged lineage has a cycle', () => {
    const graph = layout(lineage('a', ['a', 'b'], ['b', 'c'], ['c', 'b']), BOX, 'across');
    expect(graph.nodes).toHaveLength(3);
  });

  it('places a node alone', () => {
    expect(layout(lineage('a'), BOX, 'down')).toMatchObject({ width: 116, height: 56, edges: [] });
  });

  it('places a thousand nodes at once', () => {
    const edges = Array.from({ length: 999 }, (_, i): [string, string] => [`n:${i >> 1}`, `n:${i + 1}`]);
    expect(layout(lineage('n:0', ...edges), BOX, 'across').nodes).toHaveLength(1000);
  });
});

describe('mirror', () => {
  it('tells what the root was made from, then what it goes into, each once', () => {
    const tree = mirror(RUN, 'artifact:3');
    expect(tree && walk(tree).map(item => [item.relation, item.node.key])).toEqual([
      ['root', 'artifact:3'],
      ['ancestor', 'execution:1'],
      ['ancestor', 'artifact:1'],
      ['ancestor', 'artifact:2'],
      ['descendant', 'execution:2'],
      ['descendant', 'artifact:5']
    ]);
  });

  it('has nothing to tell about a root that is not there', () => {
    expect(mirror(RUN, 'artifact:99')).toBeNull();
  });
});
