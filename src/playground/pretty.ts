import type { JSONValue } from '@lumino/coreutils';

/** Indented, but with lists of plain values on one line each: a row is read as a row. */
export function pretty(value: JSONValue): string {
  return JSON.stringify(value, null, 2).replace(/\[\s+([^[\]{}]*?)\s+\]/g, (_, items: string) => {
    return `[${items.replace(/\n\s+/g, ' ')}]`;
  });
}
