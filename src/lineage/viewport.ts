/** The one transform between a drawing and what is seen of it. Pure. */

/** A point of the drawing is seen at `point * scale + (x, y)`, in CSS pixels. */
export interface IView {
  x: number;
  y: number;
  scale: number;
}

export interface ISize {
  width: number;
  height: number;
}

export interface IPoint {
  x: number;
  y: number;
}

export interface IRect extends IPoint, ISize {}

const FARTHEST = 0.1;
const NEAREST = 3;
/** Below this scale a box's words cannot be read any more. */
const READABLE = 0.75;
const MARGIN = 16;

export function pan(view: IView, dx: number, dy: number): IView {
  return { ...view, x: view.x + dx, y: view.y + dy };
}

/** Zoom by a factor; what is seen at the point stays there. */
export function zoom(view: IView, factor: number, at: IPoint): IView {
  const scale = Math.min(NEAREST, Math.max(FARTHEST, view.scale * factor));
  const change = scale / view.scale;
  return { scale, x: at.x - (at.x - view.x) * change, y: at.y - (at.y - view.y) * change };
}

/** All of the drawing in the middle, never larger than it is. */
export function fit(drawing: ISize, seen: ISize): IView {
  const scale = Math.max(
    FARTHEST,
    Math.min(
      1,
      (seen.width - 2 * MARGIN) / drawing.width || 1,
      (seen.height - 2 * MARGIN) / drawing.height || 1
    )
  );
  return {
    scale,
    x: (seen.width - drawing.width * scale) / 2,
    y: (seen.height - drawing.height * scale) / 2
  };
}

/** Where to begin: all of it while that can be read, else the box that it is about in the middle. */
export function home(drawing: ISize, seen: ISize, about: IRect | null): IView {
  const all = fit(drawing, seen);
  if (all.scale >= READABLE || about === null) {
    return all;
  }
  const scale = READABLE;
  return {
    scale,
    x: seen.width / 2 - (about.x + about.width / 2) * scale,
    y: seen.height / 2 - (about.y + about.height / 2) * scale
  };
}

/** The least move after which the box is seen whole. */
export function reveal(view: IView, box: IRect, seen: ISize): IView {
  const move = (start: number, length: number, room: number): number =>
    start < MARGIN ? MARGIN - start : Math.min(0, room - MARGIN - start - length);
  return pan(
    view,
    move(box.x * view.scale + view.x, box.width * view.scale, seen.width),
    move(box.y * view.scale + view.y, box.height * view.scale, seen.height)
  );
}

/** What part of the drawing is seen. */
export function seenPart(view: IView, seen: ISize): IRect {
  return {
    x: -view.x / view.scale,
    y: -view.y / view.scale,
    width: seen.width / view.scale,
    height: seen.height / view.scale
  };
}

/** The drawing's point at a point of the screen. */
export function pointOf(view: IView, at: IPoint): IPoint {
  return { x: (at.x - view.x) / view.scale, y: (at.y - view.y) / view.scale };
}

export function overlaps(one: IRect, other: IRect): boolean {
  return (
    one.x <= other.x + other.width &&
    other.x <= one.x + one.width &&
    one.y <= other.y + other.height &&
    other.y <= one.y + one.height
  );
}
