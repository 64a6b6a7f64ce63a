/** From an answer to what is shown of it. Pure. */
import type { JSONValue } from '@lumino/coreutils';

import type { ISignature } from '../api';
import { chunks, flat, isObject } from './request';

export interface IBar {
  label: string;
  /** 0 to 1. */
  probability: number;
}

/** Outputs that belong together: a column an element, a row a row of the input. */
export interface IAnswerTable {
  /** The output's own name; null where there is but one table. */
  name: string | null;
  columns: string[];
  rows: string[][];
  /** Probabilities of each row, the most likely first; null where there are none. */
  bars: IBar[][] | null;
}

export interface IAnswer {
  tables: IAnswerTable[];
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
  // What one estimator's methods say of the same rows is read side by side; other outputs are things of their own.
  const together = outputs.every(output => METHODS.includes(output.name));
  const groups = together ? [outputs] : outputs.map(output => [output]);
  const tables = groups.map(group => tableOf(group, groups.length > 1, signature));
  return { tables, summary: summarize(tables) };
}

const METHODS: readonly string[] = [
  'predict',
  'predict_proba',
  'predict_log_proba',
  'decision_function',
  'transform',
  'score_samples'
];

function tableOf(outputs: IOutput[], isNamed: boolean, signature: ISignature | null): IAnswerTable {
  const count = outputs[0]?.rows.length ?? 0;
  return {
    name: isNamed ? outputs[0].name : null,
    columns: outputs.flatMap(output => columnNames(output, classesOf(signature, output))),
    rows: Array.from({ length: count }, (_, row) =>
      outputs.flatMap(output => (output.rows[row] ?? []).map(showValue))
    ),
    bars: barsOf(outputs, signature)
  };
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

/** The labels of an output's elements, where it has one for each. */
function classesOf(signature: ISignature | null, output: IOutput): string[] | null {
  const width = output.rows[0]?.length ?? 1;
  const specs = signature?.outputs ?? [];
  const known = [specs.find(spec => spec.name === output.name), ...specs].find(
    spec => spec?.classes?.length === width
  );
  return width > 1 ? (known?.classes?.map(showValue) ?? null) : null;
}

function columnNames(output: IOutput, classes: string[] | null): string[] {
  const width = output.rows[0]?.length ?? 1;
  if (width === 1) {
    return [output.name];
  }
  const names = output.name === 'predict' ? null : classes;
  return Array.from({ length: width }, (_, index) => `${output.name}[${names?.[index] ?? index}]`);
}

function barsOf(outputs: IOutput[], signature: ISignature | null): IBar[][] | null {
  const found =
    outputs.find(output => output.name === 'predict_proba' && isNumeric(output)) ??
    outputs.find(isDistribution);
  if (!found) {
    return null;
  }
  const classes = classesOf(signature, found);
  return found.rows.map(row =>
    row
      .map((value, index) => ({ label: classes?.[index] ?? String(index), probability: value as number }))
      .sort((left, right) => right.probability - left.probability)
  );
}

function isNumeric(output: IOutput): boolean {
  return output.rows.every(row => row.length > 1 && row.every(value => typeof value === 'number'));
}

/** Whether each row's elements are none below 0 and together 1, to what single precision can tell. */
function isDistribution(output: IOutput): boolean {
  return (
    output.rows.length > 0 &&
    isNumeric(output) &&
    (output.rows as number[][]).every(
      row => row.every(value => value >= 0) && Math.abs(row.reduce((sum, value) => sum + value, 0) - 1) < 1e-3
    )
  );
}

function summarize(tables: IAnswerTable[]): string {
  const [{ rows, bars }] = tables;
  if (rows.length !== 1) {
    return `${rows.length} × ${rows[0]?.length ?? 0}`;
  }
  const best = bars?.[0]?.[0];
  if (!best) {
    return rows[0].slice(0, 4).join(', ');
  }
  // A label that the model has said itself is what its own method has answered.
  const said = rows[0].length > (bars?.[0].length ?? 0) ? rows[0][0] : best.label;
  return `${said} · ${showPercent(best.probability)}`;
}
