import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useLayoutEffect, useRef, useState } from 'react';

import { fit, home, pan, reveal, zoom } from './viewport';
import type { IPoint, IRect, ISize, IView } from './viewport';

export interface IViewportProps {
  drawing: ISize;
  /** What it is about: where the look at it begins; another one begins anew. */
  about: string;
  aboutBox: IRect | null;
  /** A box that has to be seen, for instance because the keyboard is on it. */
  active: IRect | null;
  trans: TranslationBundle;
  children: (view: IView, seen: ISize) => React.ReactNode;
}

const STEP = 48;
const ZOOM = 1.25;
/** A press that moves no farther than this many pixels is a click. */
const STILL = 4;

/** A drawing to move (drag, arrow keys) and to zoom (wheel, plus and minus, buttons), by one transform. */
export function Viewport(props: IViewportProps): JSX.Element {
  const { drawing, about, aboutBox, active, trans, children } = props;
  const frame = useRef<HTMLDivElement>(null);
  const seen = useSize(frame);
  const [moved, setMoved] = useState<{ about: string; view: IView } | null>(null);
  const view = moved?.about === about ? moved.view : home(drawing, seen, aboutBox);
  const set = (next: IView): void => setMoved({ about, view: next });
  const centre = { x: seen.width / 2, y: seen.height / 2 };
  const fitAll = (): void => set(fit(drawing, seen));

  useEffect(() => {
    if (active) {
      set(reveal(view, active, seen));
    }
  }, [active?.x, active?.y]);

  // React listens to the wheel passively, so that the page around would scroll along.
  const latest = useRef({ view, set });
  latest.current = { view, set };
  useEffect(() => {
    const element = frame.current;
    const onWheel = (event: WheelEvent): void => {
      event.preventDefault();
      const box = element?.getBoundingClientRect();
      const at = { x: event.clientX - (box?.left ?? 0), y: event.clientY - (box?.top ?? 0) };
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
      latest.current.set(zoom(latest.current.view, Math.exp(-event.deltaY * lines * 0.0015), at));
    };
    element?.addEventListener('wheel', onWheel, { passive: false });
    return () => element?.removeEventListener('wheel', onWheel);
  }, []);

  const keys: { [key: string]: () => void } = {
    ArrowLeft: () => set(pan(view, STEP, 0)),
    ArrowRight: () => set(pan(view, -STEP, 0)),
    ArrowUp: () => set(pan(view, 0, STEP)),
    ArrowDown: () => set(pan(view, 0, -STEP)),
    '+': () => set(zoom(view, ZOOM, centre)),
    '=': () => set(zoom(view, ZOOM, centre)),
    '-': () => set(zoom(view, 1 / ZOOM, centre)),
    '0': fitAll
  };
  const drag = useDrag(view, set);
  const button = (label: string, sign: string, onClick: () => void): JSX.Element => (
    <button type="button" className="jp-KaleServe-button" aria-label={label} title={label} onClick={onClick}>
      <span aria-hidden="true">{sign}</span>
    </button>
  );
  return (
    <div className="jp-KaleServe-viewport">
      <div
        ref={frame}
        className="jp-KaleServe-frame"
        role="group"
        tabIndex={0}
        aria-label={trans.__('Drawing of the lineage: arrow keys move it, plus and minus zoom, 0 shows all')}
        onKeyDown={event => {
          const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
          if (act) {
            event.preventDefault();
            event.stopPropagation();
            act();
          }
        }}
        {...drag}
      >
        {children(view, seen)}
      </div>
      <div className="jp-KaleServe-zoom">
        {button(trans.__('Zoom in'), '+', keys['+'])}
        {button(trans.__('Zoom out'), '−', keys['-'])}
        {button(trans.__('Show all'), '⤢', fitAll)}
      </div>
    </div>
  );
}

function useSize(frame: React.RefObject<HTMLElement>): ISize {
  const [size, setSize] = useState<ISize>({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const element = frame.current;
    if (!element) {
      return;
    }
    const measure = (): void => setSize({ width: element.clientWidth, height: element.clientHeight });
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return size;
}

type Drag = Pick<
  React.HTMLAttributes<HTMLElement>,
  'onPointerDown' | 'onPointerMove' | 'onPointerUp' | 'onPointerCancel' | 'onClickCapture'
>;

function useDrag(view: IView, set: (view: IView) => void): Drag {
  const state = useRef<{ from: IPoint; view: IView; isDrag: boolean } | null>(null);
  const wasDrag = useRef(false);
  const end = (): void => {
    wasDrag.current = state.current?.isDrag ?? false;
    state.current = null;
  };
  return {
    onPointerDown: event => {
      wasDrag.current = false;
      if (event.button === 0) {
        state.current = { from: { x: event.clientX, y: event.clientY }, view, isDrag: false };
      }
    },
    onPointerMove: event => {
      const drag = state.current;
      if (!drag) {
        return;
      }
      const [dx, dy] = [event.clientX - drag.from.x, event.clientY - drag.from.y];
      if (!drag.isDrag && Math.hypot(dx, dy) > STILL) {
        drag.isDrag = true;
        // Not before: a captured pointer clicks the frame and not the box under it.
        event.currentTarget.setPointerCapture?.(event.pointerId);
      }
      if (drag.isDrag) {
        set(pan(drag.view, dx, dy));
      }
    },
    onPointerUp: end,
    onPointerCancel: end,
    onClickCapture: event => {
      if (wasDrag.current) {
        wasDrag.current = false;
        event.stopPropagation();
      }
    }
  };
}
