import { lineage } from '../../__tests__/fixtures';
import { layout } from '../layout';
import { paint } from '../paint';
import { fit, home, overlaps, pan, pointOf, reveal, seenPart, zoom } from '../viewport';

const SEEN = { width: 800, height: 400 };

describe('the one transform', () => {
  it('keeps what is under the pointer there while it zooms', () => {
    const at = { x: 300, y: 120 };
    const before = { x: 20, y: -40, scale: 0.8 };
    const after = zoom(before, 1.7, at);
    expect(after.scale).toBeCloseTo(1.36);
    expect(pointOf(after, at).x).toBeCloseTo(pointOf(before, at).x);
    expect(pointOf(after, at).y).toBeCloseTo(pointOf(before, at).y);
  });

  it('zooms neither to nothing nor without end', () => {
    const view = { x: 0, y: 0, scale: 1 };
    expect(zoom(view, 1e-9, { x: 0, y: 0 }).scale).toBe(0.1);
    expect(zoom(view, 1e9, { x: 0, y: 0 }).scale).toBe(3);
  });

  it('fits a large drawing whole, and does not blow a small one up', () => {
    const view = fit({ width: 3000, height: 300 }, SEEN);
    expect(overlaps(seenPart(view, SEEN), { x: 0, y: 0, width: 1, height: 1 })).toBe(true);
    expect(seenPart(view, SEEN).width).toBeGreaterThan(3000);
    expect(fit({ width: 100, height: 100 }, SEEN)).toEqual({ scale: 1, x: 350, y: 150 });
  });

  it('begins at what it is about where all of it would be too small to read', () => {
    const about = { x: 5000, y: 2000, width: 150, height: 40 };
    const part = seenPart(home({ width: 9000, height: 4000 }, SEEN, about), SEEN);
    expect(part.x + part.width / 2).toBeCloseTo(5075);
    expect(part.y + part.height / 2).toBeCloseTo(2020);
  });

  it('moves no farther than needed to show a box, and not at all where it is seen', () => {
    const view = { x: 0, y: 0, scale: 1 };
    expect(reveal(view, { x: 100, y: 100, width: 150, height: 40 }, SEEN)).toEqual(view);
    expect(reveal(view, { x: 790, y: 100, width: 150, height: 40 }, SEEN)).toEqual(pan(view, -156, 0));
  });
});

describe('the canvas', () => {
  /** A context that notes what it is told to write. */
  function context() {
    const words: string[] = [];
    const target = { fillText: (text: string) => words.push(text) };
    const proxy = new Proxy(target as unknown as CanvasRenderingContext2D, {
      get: (own, name) => Reflect.get(own, name) ?? (() => undefined)
    });
    return { proxy, words };
  }

  const BOX = { width: 152, height: 42, layerGap: 32, nodeGap: 16 };
  const edges = Array.from({ length: 999 }, (_, i): [string, string] => [`n:${i}`, `n:${i + 1}`]);
  const graph = layout(lineage('n:0', ...edges), BOX, 'across');
  const looks = graph.nodes.map(placed => ({
    placed,
    title: placed.node.key,
    caption: 'model',
    tone: 'plain' as const,
    isActive: false
  }));
  const colours = { line: '', paper: '', text: '', faint: '', brand: '', ready: '', failed: '', font: '' };
  const draw = (view: { x: number; y: number; scale: number }) => {
    const { proxy, words } = context();
    return { drawn: paint(proxy, { edges: graph.edges, looks, box: BOX }, view, SEEN, 2, colours), words };
  };

  beforeAll(() => {
    Object.assign(globalThis, { Path2D: class {} });
  });

  afterAll(() => {
    Reflect.deleteProperty(globalThis, 'Path2D');
  });

  it('draws of a thousand boxes those that are seen, with their words', () => {
    const { drawn, words } = draw({ x: 0, y: 0, scale: 1 });
    expect(drawn).toBe(5);
    expect(words.slice(0, 2)).toEqual(['n:0', 'model']);
    expect(draw({ x: -10_000, y: 0, scale: 1 }).words).not.toContain('n:0');
  });

  it('writes nothing that nobody could read', () => {
    const { drawn, words } = draw({ x: 0, y: 0, scale: 0.1 });
    expect(drawn).toBeGreaterThan(40);
    expect(words).toEqual([]);
  });
});
