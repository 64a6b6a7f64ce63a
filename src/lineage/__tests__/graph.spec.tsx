import { nullTranslator } from '@jupyterlab/translation';
import { fireEvent, render, screen } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import React from 'react';

import { lineage } from '../../__tests__/fixtures';
import type { ILineage, ILineageNode } from '../../api';
import { LineageGraph, MOST_IN_SVG } from '../LineageGraph';

const SMALL = lineage('artifact:2', ['artifact:1', 'execution:1'], ['execution:1', 'artifact:2']);

describe('the drawing of a lineage', () => {
  let activated: ILineageNode[];

  beforeEach(() => {
    activated = [];
    // jsdom lays nothing out.
    jest.spyOn(HTMLElement.prototype, 'clientWidth', 'get').mockReturnValue(800);
    jest.spyOn(HTMLElement.prototype, 'clientHeight', 'get').mockReturnValue(400);
    jest.spyOn(HTMLCanvasElement.prototype, 'getContext').mockReturnValue(null);
  });

  afterEach(() => jest.restoreAllMocks());

  const show = (graph: ILineage, direction: 'across' | 'down' = 'across') =>
    render(
      <LineageGraph
        lineage={graph}
        root={graph.root}
        active={null}
        direction={direction}
        trans={nullTranslator.load('kale_serve_lab')}
        liveState={() => null}
        onActivate={node => activated.push(node)}
      />
    ).container;

  const transform = (container: HTMLElement) => container.querySelector('svg > g')?.getAttribute('transform');
  const frame = () => screen.getByRole('group', { name: /Drawing of the lineage/ });
  const scale = (container: HTMLElement) => Number(/scale\((.+)\)/.exec(transform(container) ?? '')?.[1]);
  const box = (container: HTMLElement) => container.querySelector('.jp-mod-root') as Element;

  it('is zoomed by the wheel, which does not scroll the page', () => {
    const container = show(SMALL);
    const before = scale(container);
    const isOthers = fireEvent.wheel(frame(), { deltaY: -200, clientX: 400, clientY: 200 });
    expect(isOthers).toBe(false);
    expect(scale(container)).toBeGreaterThan(before);
  });

  it('is zoomed and shown whole again by buttons', async () => {
    const container = show(SMALL);
    const before = transform(container);
    await userEvent.click(screen.getByRole('button', { name: 'Zoom in' }));
    await userEvent.click(screen.getByRole('button', { name: 'Zoom in' }));
    await userEvent.click(screen.getByRole('button', { name: 'Zoom out' }));
    expect(scale(container)).toBeCloseTo(1.25);
    await userEvent.click(screen.getByRole('button', { name: 'Show all' }));
    expect(transform(container)).toBe(before);
  });

  it('is moved and zoomed by keys', async () => {
    const container = show(SMALL);
    const before = transform(container);
    frame().focus();
    await userEvent.keyboard('{ArrowRight}{ArrowDown}+');
    expect(scale(container)).toBeCloseTo(1.25);
    await userEvent.keyboard('-{ArrowLeft}{ArrowUp}');
    expect(transform(container)).toBe(before);
  });

  it('is moved by dragging, which chooses nothing; a click does', () => {
    const container = show(SMALL);
    const before = transform(container);
    const pointer = (type: string, clientX: number) =>
      fireEvent(box(container), new MouseEvent(type, { bubbles: true, button: 0, clientX }));
    pointer('pointerdown', 100);
    pointer('pointermove', 160);
    pointer('pointerup', 160);
    pointer('click', 160);
    expect(transform(container)).not.toBe(before);
    expect(activated).toEqual([]);
    pointer('pointerdown', 100);
    pointer('pointerup', 101);
    pointer('click', 101);
    expect(activated.map(node => node.key)).toEqual(['artifact:2']);
  });

  it('stands still in the side bar', () => {
    show(SMALL, 'down');
    expect(screen.queryByRole('button', { name: 'Zoom in' })).toBeNull();
  });

  it('is a canvas above three hundred nodes, on which boxes are clicked all the same', () => {
    const edges = Array.from({ length: MOST_IN_SVG }, (_, i): [string, string] => [`n:${i}`, `n:${i + 1}`]);
    const container = show(lineage('n:7', ...edges));
    const canvas = container.querySelector('canvas') as Element;
    expect(container.querySelector('svg')).toBeNull();
    // What it is about stands in the middle.
    fireEvent.click(canvas, { clientX: 400, clientY: 200 });
    expect(activated.map(node => node.key)).toEqual(['n:7']);
  });
});
