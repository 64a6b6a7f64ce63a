import type { JSONValue } from '@lumino/coreutils';

import { imageOf } from '../image';

function filled(value: number, ...shape: number[]): JSONValue {
  const [length, ...rest] = shape;
  return length === undefined ? value : Array.from({ length }, () => filled(value, ...rest));
}

/** The bytes of the first pixel of the last row, blue first. */
function corner(value: JSONValue): number[] {
  const bytes = atob((imageOf(value)?.url ?? '').split(',')[1]);
  return [54, 55, 56].map(at => bytes.charCodeAt(at));
}

describe('imageOf', () => {
  it.each([
    [[28, 30], 30, 28],
    [[28, 30, 1], 30, 28],
    [[28, 30, 3], 30, 28],
    [[3, 28, 30], 30, 28],
    [[1, 28, 30], 30, 28]
  ])('reads %j as a picture', (shape, width, height) => {
    expect(imageOf(filled(0, ...shape))).toMatchObject({ width, height });
  });

  it.each([[[4]], [[4, 4]], [[8, 8, 4]], [[2, 8, 8]], [[1, 1, 8, 8]], [[2000, 8]]])(
    'leaves %j alone',
    shape => {
      expect(imageOf(filled(0, ...shape))).toBeNull();
    }
  );

  it('leaves texts and what is not filled alone', () => {
    const rows = filled(1, 8, 8) as JSONValue[][];
    expect(imageOf([...rows.slice(1), [1]])).toBeNull();
    expect(imageOf([...rows.slice(1), ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']])).toBeNull();
  });

  it('takes 0 to 1 and 0 to 255 for shades, and stretches the rest', () => {
    expect(corner(filled(0.5, 8, 8))).toEqual([128, 128, 128]);
    expect(corner(filled(200, 8, 8))).toEqual([200, 200, 200]);
    const stretched = filled(-1, 8, 8) as number[][];
    stretched[7][0] = 3;
    expect(corner(stretched)).toEqual([255, 255, 255]);
  });

  it('keeps the channels apart, first or last', () => {
    const last = Array.from({ length: 8 }, () => Array.from({ length: 8 }, () => [10, 20, 30]));
    expect(corner(last)).toEqual([30, 20, 10]);
    const first = [10, 20, 30].map(value => filled(value, 8, 8));
    expect(corner(first)).toEqual([30, 20, 10]);
  });
});
