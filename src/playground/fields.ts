/** From a signature to the fields of a form, and from what is typed to values. Pure. */
import type { JSONValue } from '@lumino/coreutils';

import type { ISignature, ITensorSpec } from '../api';
import { pretty } from './pretty';

export type FieldKind = 'number' | 'integer' | 'boolean' | 'category' | 'text' | 'json';

export interface IField {
  name: string;
  dtype: string;
  /** Of one row; -1 stands for any length. */
  shape: number[];
  kind: FieldKind;
  min: number | null;
  max: number | null;
  /** What a select offers; empty for other kinds. */
  choices: string[];
}

export interface IParsed {
  value: JSONValue;
  /** Why it cannot be sent; null where it can. */
  problem: Problem | null;
  /** What is odd about a value that can be sent all the same. */
  remark: Remark | null;
}

/** Words are the view's: these say only what is the matter. */
export type Problem =
  | { kind: 'missing' }
  | { kind: 'not-a-number' }
  | { kind: 'not-whole' }
  | { kind: 'too-large' }
  | { kind: 'outside-type'; low: number; high: number }
  | { kind: 'not-json' }
  | { kind: 'ragged' }
  | { kind: 'shape'; given: number[]; wanted: number[] };

export type Remark = { kind: 'above' | 'below'; bound: number; times: number | null };

const INTEGER_BITS: { [dtype: string]: [number, boolean] } = {
  INT8: [8, true],
  INT16: [16, true],
  INT32: [32, true],
  INT64: [64, true],
  UINT8: [8, false],
  UINT16: [16, false],
  UINT32: [32, false],
  UINT64: [64, false]
};

/** One field a column of a table, or a tensor's whole row. */
export function fieldsOf(signature: ISignature): IField[] {
  return signature.inputs.map(spec => ({
    name: spec.name,
    dtype: spec.dtype,
    shape: spec.shape.slice(1),
    kind: kindOf(signature, spec),
    min: spec.min,
    max: spec.max,
    choices: choicesOf(spec)
  }));
}

/** The sample rows, each as one value a field. */
export function sampleRows(signature: ISignature): JSONValue[][] {
  const rows = signature.input_example ?? [];
  if (signature.layout === 'tensor') {
    return rows.map(row => [row]);
  }
  return rows.filter(
    (row): row is JSONValue[] => Array.isArray(row) && row.length === signature.inputs.length
  );
}

/** What a field shows for a value. */
export function toText(field: IField, value: JSONValue): string {
  if (field.kind === 'json') {
    return pretty(value);
  }
  return value === null ? '' : String(value);
}

/** The form's first content: the first sample row, else the middle of the known ranges. */
export function initialTexts(signature: ISignature): string[] {
  const fields = fieldsOf(signature);
  const row = sampleRows(signature)[0];
  return fields.map((field, index) => (row ? toText(field, row[index]) : guess(field)));
}

/** Read what is typed into a field. */
export function parseText(field: IField, text: string): IParsed {
  switch (field.kind) {
    case 'number':
    case 'integer':
      return parseNumber(field, text);
    case 'boolean':
      return sendable(text === 'true');
    case 'category':
      return field.dtype === 'BYTES' ? sendable(text) : parseNumber(field, text);
    case 'text':
      return sendable(text);
    case 'json':
      try {
        return sendable(JSON.parse(text) as JSONValue);
      } catch {
        return { value: null, problem: { kind: 'not-json' }, remark: null };
      }
  }
}

function parseNumber(field: IField, text: string): IParsed {
  const trimmed = text.trim();
  const refuse = (problem: Problem): IParsed => ({ value: null, problem, remark: null });
  if (trimmed === '') {
    return refuse({ kind: 'missing' });
  }
  // Number() also reads hexadecimal and "Infinity", which nobody means here and JSON has no number for.
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed) || !Number.isFinite(Number(trimmed))) {
    return refuse({ kind: 'not-a-number' });
  }
  const value = Number(trimmed);
  const bits = INTEGER_BITS[field.dtype];
  if (bits) {
    if (!Number.isInteger(value)) {
      return refuse({ kind: 'not-whole' });
    }
    const [size, signed] = bits;
    const low = signed ? -(2 ** (size - 1)) : 0;
    const high = 2 ** (signed ? size - 1 : size) - 1;
    if (value < low || value > high) {
      return refuse({ kind: 'outside-type', low, high });
    }
    if (!Number.isSafeInteger(value)) {
      return refuse({ kind: 'too-large' });
    }
  }
  return { value, problem: null, remark: remarkOn(field, value) };
}

/** Far outside what training saw is worth a word, and no more than that. */
function remarkOn(field: IField, value: number): Remark | null {
  if (field.max !== null && value > field.max) {
    const times = field.max > 0 && value / field.max >= 2 ? Math.round(value / field.max) : null;
    return { kind: 'above', bound: field.max, times };
  }
  if (field.min !== null && value < field.min) {
    return { kind: 'below', bound: field.min, times: null };
  }
  return null;
}

function sendable(value: JSONValue): IParsed {
  return { value, problem: null, remark: null };
}

function kindOf(signature: ISignature, spec: ITensorSpec): FieldKind {
  if (signature.layout !== 'columns' && spec.shape.length > 1) {
    return 'json';
  }
  if (spec.dtype === 'BOOL') {
    return 'boolean';
  }
  if (spec.categories && spec.categories.length > 0) {
    return 'category';
  }
  if (spec.dtype === 'BYTES') {
    return 'text';
  }
  return INTEGER_BITS[spec.dtype] ? 'integer' : 'number';
}

function choicesOf(spec: ITensorSpec): string[] {
  if (spec.dtype === 'BOOL') {
    return ['true', 'false'];
  }
  return spec.categories ?? [];
}

function guess(field: IField): string {
  if (field.choices.length > 0) {
    return field.choices[0];
  }
  if (field.kind === 'json') {
    return '[]';
  }
  if (field.kind === 'text' || field.min === null || field.max === null) {
    return '';
  }
  const middle = (field.min + field.max) / 2;
  return String(field.kind === 'integer' ? Math.round(middle) : Number(middle.toPrecision(4)));
}
