/** A row of pixels as a picture. Pure. */
import type { JSONValue } from '@lumino/coreutils';

import { flat, shapeOf } from './request';

export interface IImage {
  width: number;
  height: number;
  /** A data URL, a bitmap. */
  url: string;
}

const LEAST = 8;
const MOST = 1024;
const HEADER = 54;

/**
 * Height × width, with one or three channels first or last, or none; null for what does not look like it.
 * Values from 0 to 1 and from 0 to 255 are shades as they are; others are stretched from the least to the most.
 */
export function imageOf(value: JSONValue): IImage | null {
  const layout = layoutOf(shapeOf(value));
  if (layout === null) {
    return null;
  }
  const { width, height, channels, isFirst } = layout;
  const values = flat([value]);
  if (values.length !== width * height * channels || !values.every(one => typeof one === 'number')) {
    return null;
  }
  const shade = shadeOf(values as number[]);
  const pixel = (row: number, column: number, channel: number): number => {
    const at = channels === 1 ? 0 : channel;
    const index = isFirst ? (at * height + row) * width + column : (row * width + column) * channels + at;
    return shade(values[index] as number);
  };
  return { width, height, url: bitmap(width, height, pixel) };
}

interface ILayout {
  width: number;
  height: number;
  channels: number;
  isFirst: boolean;
}

function layoutOf(shape: readonly number[]): ILayout | null {
  const isSide = (length: number): boolean => length >= LEAST && length <= MOST;
  const isChannels = (length: number): boolean => length === 1 || length === 3;
  const [a, b, c] = shape;
  if (shape.length === 2 && isSide(a) && isSide(b)) {
    return { height: a, width: b, channels: 1, isFirst: false };
  }
  if (shape.length !== 3) {
    return null;
  }
  if (isSide(a) && isSide(b) && isChannels(c)) {
    return { height: a, width: b, channels: c, isFirst: false };
  }
  return isChannels(a) && isSide(b) && isSide(c) ? { height: b, width: c, channels: a, isFirst: true } : null;
}

function shadeOf(values: readonly number[]): (value: number) => number {
  let least = Infinity;
  let most = -Infinity;
  for (const value of values) {
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  if (least >= 0 && most <= 255) {
    const scale = most <= 1 ? 255 : 1;
    return value => Math.round(value * scale);
  }
  return value => Math.round(((value - least) / (most - least)) * 255);
}

/** 24 bits a pixel, the lowest row first, each row padded to four bytes. */
function bitmap(
  width: number,
  height: number,
  pixel: (row: number, column: number, channel: number) => number
): string {
  const stride = Math.ceil((width * 3) / 4) * 4;
  const bytes = new Uint8Array(HEADER + stride * height);
  const head = new DataView(bytes.buffer);
  bytes.set([0x42, 0x4d]);
  head.setUint32(2, bytes.length, true);
  head.setUint32(10, HEADER, true);
  head.setUint32(14, 40, true);
  head.setInt32(18, width, true);
  head.setInt32(22, height, true);
  head.setUint16(26, 1, true);
  head.setUint16(28, 24, true);
  for (let row = 0; row < height; row++) {
    let at = HEADER + (height - 1 - row) * stride;
    for (let column = 0; column < width; column++) {
      for (const channel of [2, 1, 0]) {
        bytes[at++] = pixel(row, column, channel);
      }
    }
  }
  let text = '';
  for (const byte of bytes) {
    text += String.fromCharCode(byte);
  }
  return `data:image/bmp;base64,${btoa(text)}`;
}
