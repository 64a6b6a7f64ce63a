/** A lineage on a canvas, for more nodes than SVG carries: only what is seen is drawn. */
import { shorten } from './describe';
import type { IBox, IPlacedEdge, IPlacedNode } from './layout';
import { overlaps, seenPart } from './viewport';
import type { ISize, IView } from './viewport';

/** How a box is set off from the others. */
export type Tone = 'plain' | 'root' | 'ready' | 'failed';

export interface ILook {
  placed: IPlacedNode;
  title: string;
  caption: string;
  tone: Tone;
  isActive: boolean;
}

export interface IColours {
  line: string;
  paper: string;
  text: string;
  faint: string;
  brand: string;
  ready: string;
  failed: string;
  font: string;
}

/** Letters smaller than this many pixels are no words. */
const SMALLEST_LETTER = 5;
const LETTER = 11;

/** Draw and answer how many boxes were drawn. */
export function paint(
  context: CanvasRenderingContext2D,
  picture: { edges: readonly IPlacedEdge[]; looks: readonly ILook[]; box: IBox },
  view: IView,
  seen: ISize,
  pixelRatio: number,
  colours: IColours
): number {
  const { edges, looks, box } = picture;
  const part = seenPart(view, seen);
  const ratio = view.scale * pixelRatio;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, seen.width * pixelRatio, seen.height * pixelRatio);
  context.setTransform(ratio, 0, 0, ratio, view.x * pixelRatio, view.y * pixelRatio);
  context.lineWidth = 1.5;
  context.strokeStyle = colours.line;
  for (const edge of edges) {
    if (overlaps(edge.bounds, part)) {
      context.stroke(pathOf(edge));
    }
  }
  const drawn = looks.filter(({ placed }) =>
    overlaps({ x: placed.x, y: placed.y, width: box.width, height: box.height }, part)
  );
  const isReadable = LETTER * view.scale >= SMALLEST_LETTER;
  for (const look of drawn) {
    paintBox(context, look, box, colours);
    if (isReadable) {
      paintWords(context, look, box, colours);
    }
  }
  return drawn.length;
}

const PATHS = new WeakMap<IPlacedEdge, Path2D>();

function pathOf(edge: IPlacedEdge): Path2D {
  let path = PATHS.get(edge);
  if (!path) {
    path = new Path2D(edge.path);
    PATHS.set(edge, path);
  }
  return path;
}

function paintBox(context: CanvasRenderingContext2D, look: ILook, box: IBox, colours: IColours): void {
  const { x, y, node } = look.placed;
  const accent = { plain: null, root: colours.brand, ready: colours.ready, failed: colours.failed }[
    look.tone
  ];
  context.beginPath();
  context.roundRect(x, y, box.width, box.height, node.kind === 'execution' ? box.height / 2 : 6);
  context.fillStyle = colours.paper;
  context.fill();
  if (accent) {
    context.globalAlpha = 0.12;
    context.fillStyle = accent;
    context.fill();
    context.globalAlpha = 1;
  }
  context.lineWidth = look.isActive ? 3 : 1;
  context.strokeStyle = look.isActive ? colours.brand : (accent ?? colours.line);
  context.stroke();
}

function paintWords(context: CanvasRenderingContext2D, look: ILook, box: IBox, colours: IColours): void {
  const { x, y, node } = look.placed;
  const inset = node.kind === 'execution' ? 18 : 10;
  const room = Math.floor((box.width - 20) / 6.4);
  context.font = `${LETTER}px ${colours.font}`;
  context.fillStyle = colours.text;
  context.fillText(shorten(look.title, room), x + inset, y + box.height / 2 - 3);
  context.font = `10px ${colours.font}`;
  context.fillStyle = look.tone === 'plain' ? colours.faint : colours.text;
  context.fillText(shorten(look.caption, room), x + inset, y + box.height / 2 + 12);
}
