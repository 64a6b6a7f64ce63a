import React, { useEffect, useRef, useState } from 'react';

import type { ILineageNode } from '../api';
import type { IBox, IPlacedGraph } from './layout';
import { paint } from './paint';
import type { IColours, ILook } from './paint';
import { pointOf } from './viewport';
import type { ISize, IView } from './viewport';

export interface ILineageCanvasProps {
  graph: IPlacedGraph;
  looks: readonly ILook[];
  box: IBox;
  view: IView;
  seen: ISize;
  onActivate: (node: ILineageNode) => void;
}

/** The drawing of a large lineage: however often it changes between two frames, it is drawn once. */
export function LineageCanvas(props: ILineageCanvasProps): JSX.Element {
  const { graph, looks, box, view, seen, onActivate } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const theme = useTheme();
  useEffect(() => {
    const frame = requestAnimationFrame(() => {
      const element = canvas.current;
      const context = element?.getContext('2d');
      if (!element || !context) {
        return;
      }
      const ratio = window.devicePixelRatio || 1;
      const [width, height] = [Math.round(seen.width * ratio), Math.round(seen.height * ratio)];
      // Setting a size clears the canvas and gives its memory back, which is not free while dragging.
      if (element.width !== width || element.height !== height) {
        element.width = width;
        element.height = height;
      }
      paint(context, { edges: graph.edges, looks, box }, view, seen, ratio, coloursOf(element));
    });
    return () => cancelAnimationFrame(frame);
  }, [graph, looks, box, view.x, view.y, view.scale, seen, theme]);
  const lookAt = (event: React.MouseEvent): ILook | undefined => {
    const frame = event.currentTarget.getBoundingClientRect();
    const { x, y } = pointOf(view, { x: event.clientX - frame.left, y: event.clientY - frame.top });
    return looks.find(
      ({ placed }) =>
        x >= placed.x && x <= placed.x + box.width && y >= placed.y && y <= placed.y + box.height
    );
  };
  return (
    <canvas
      ref={canvas}
      className="jp-KaleServe-graph"
      style={{ width: seen.width, height: seen.height }}
      aria-hidden="true"
      onPointerMove={event => {
        const look = lookAt(event);
        event.currentTarget.title = look ? `${look.title}\n${look.caption}` : '';
      }}
      onClick={event => {
        const look = lookAt(event);
        if (look) {
          onActivate(look.placed.node);
        }
      }}
    />
  );
}

function coloursOf(element: HTMLElement): IColours {
  const style = getComputedStyle(element);
  const value = (name: string): string => style.getPropertyValue(name).trim();
  return {
    line: value('--jp-border-color1'),
    paper: value('--jp-layout-color1'),
    text: value('--jp-ui-font-color1'),
    faint: value('--jp-ui-font-color2'),
    brand: value('--jp-brand-color1'),
    ready: value('--jp-success-color1'),
    failed: value('--jp-error-color1'),
    font: style.fontFamily
  };
}

/** The name of JupyterLab's theme: a canvas keeps its colours until it is drawn anew. */
function useTheme(): string {
  const [theme, setTheme] = useState('');
  useEffect(() => {
    const read = (): void => setTheme(document.body.dataset['jpThemeName'] ?? '');
    read();
    const observer = new MutationObserver(read);
    observer.observe(document.body, { attributes: true, attributeFilter: ['data-jp-theme-name'] });
    return () => observer.disconnect();
  }, []);
  return theme;
}
