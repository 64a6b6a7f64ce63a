/** From an answer to what is shown of it. Pure. */
import type { JSONValue } from '@lumino/coreutils';

import type { ISignature } from '../api';
import { chunks, flat, isObject } from './request';

export interface IBar {
  label: string;
  /** 0 to 1. */
  probability: number;
}

export interface IAnswer {
  /** One table, a column an output (or a class), a row a row of the input. */
  columns: string[];
  rows: string[][];
  /** Class probabilities of each row, the most likely first; null where there are none. */
  bars: IBar[][] | null;
  /** The whole answer in a few words, for the history. */
  summary: string;
}

interface IOutput {
  name: string;
  /** Each row's elements. */
  rows: JSONValue[][];
}

/** Read a v1 or v2 answer; null where it is neither (a postprocess step may answer anything). */
export function readAnswer(answer: JSONValue, signature: ISignature | null): IAnswer | null {
  const outputs = outputsOf(answer);
  if (outputs === null) {
    return null;
  }
  const classes = classesOf(signature);
  const count = outputs[0]?.rows.length ?? 0;
  const columns = outputs.flatMap(output => columnNames(output, classes));
  const rows = Array.from({ length: count }, (_, row) =>
    outputs.flatMap(output => (output.rows[row] ?? []).map(showValue))
  );
  const bars = barsOf(outputs, classes);
  return { columns, rows, bars, summary: summarize(rows, bars) };
}

/** A number as a reader wants it: all its digits where they are few, else six of them. */
export function showValue(value: JSONValue): string {
  if (typeof value === 'number' && !Number.isInteger(value)) {
    const short = Number(value.toPrecision(6));
    return Math.abs(short) < 1e-4 ? short.toExponential() : String(short);
  }
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** 0.97134 → "97.1 %"; what is not quite 0 or 100 does not claim to be. */
export function showPercent(probability: number): string {
  const percent = probability * 100;
  if (percent > 0 && percent < 0.05) {
    return '< 0.1 %';
  }
  if (percent < 100 && percent > 99.95) {
    return '> 99.9 %';
  }
  return `${percent.toFixed(1)} %`;
}

function outputsOf(answer: JSONValue): IOutput[] | null {
  if (!isObject(answer)) {
    return null;
  }
  if (Array.isArray(answer['predictions'])) {
    const outputs: IOutput[] = [{ name: 'predict', rows: answer['predictions'].map(rowElements) }];
    if (isObject(answer['outputs'])) {
      for (const [name, values] of Object.entries(answer['outputs'])) {
        if (Array.isArray(values) && name !== 'predict') {
          outputs.push({ name, rows: values.map(rowElements) });
        }
      }
    }
    return outputs;
  }
  if (!Array.isArray(answer['outputs'])) {
    return null;
  }
  const outputs = answer['outputs'].filter(isObject).map(output => {
    const data = Array.isArray(output['data']) ? flat(output['data']) : [];
    const shape = Array.isArray(output['shape']) ? output['shape'] : [data.length];
    const count = Number(shape[0] ?? 1);
    return { name: String(output['name']), rows: chunks(data, count > 0 ? data.length / count : 0) };
  });
  return outputs.length > 0 ? outputs : null;
}

function rowElements(value: JSONValue): JSONValue[] {
  return Array.isArray(value) ? flat(value) : [value];
}

function classesOf(signature: ISignature | null): string[] | null {
  const output =
    signature?.outputs.find(spec => spec.name === 'predict_proba' && spec.classes) ??
    signature?.outputs.find(spec => spec.classes);
  return output?.classes?.map(showValue) ?? null;
}

function columnNames(output: IOutput, classes: string[] | null): string[] {
  const width = output.rows[0]?.length ?? 1;
  if (width === 1) {
    return [output.name];
  }
  const names = output.name !== 'predict' && classes?.length === width ? classes : null;
  return Array.from({ length: width }, (_, index) => `${output.name}[${names?.[index] ?? index}]`);
}

function barsOf(outputs: IOutput[], classes: string[] | null): IBar[][] | null {
  const found = outputs.find(output => output.name === 'predict_proba');
  if (!found || !found.rows.every(row => row.length > 1 && row.every(value => typeof value === 'number'))) {
    return null;
  }
  return found.rows.map(row =>
    row
      .map((value, index) => ({
        label: classes?.length === row.length ? classes[index] : String(index),
        probability: value as number
      }))
      .sort((left, right) => right.probability - left.probability)
  );
}

function summarize(rows: string[][], bars: IBar[][] | null): string {
  if (rows.length !== 1) {
    return `${rows.length} × ${rows[0]?.length ?? 0}`;
  }
  const best = bars?.[0]?.[0];
  const first = rows[0][0] ?? '';
  return best ? `${first} · ${showPercent(best.probability)}` : rows[0].slice(0, 4).join(', ');
}
