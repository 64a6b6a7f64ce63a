/** What is in the Test tab's input, as form or as JSON, and the request that it makes. Pure. */
import type { JSONObject, JSONValue } from '@lumino/coreutils';

import type { ISignature, Protocol } from '../api';
import { fieldsOf, initialTexts, parseText, sampleRows, toText } from './fields';
import type { IParsed } from './fields';
import { pretty } from './pretty';
import { isObject, misfit, requestBody, rowsOfBody } from './request';

export interface IInput {
  view: 'form' | 'json';
  /** One text a field. */
  texts: string[];
  json: string;
  /** The sample row that the texts came from, counted from 0; null once something was typed. */
  sample: number | null;
}

/** What an endpoint takes and is asked for. */
export interface IShape {
  signature: ISignature | null;
  protocol: Protocol;
  outputs: string[] | null;
}

export interface IRequest {
  /** Sent as it stands. */
  text: string;
  body: JSONObject;
  /** The rows in it; null where the body is not one for this signature. */
  rows: JSONValue[][] | null;
}

/** The first sample row, filled in. */
export function initialInput(shape: IShape): IInput {
  const { signature, protocol } = shape;
  if (signature === null) {
    const empty: JSONObject = protocol === 'v1' ? { instances: [] } : { inputs: [] };
    return { view: 'json', texts: [], json: pretty(empty), sample: null };
  }
  const hasSample = sampleRows(signature).length > 0;
  return { view: 'form', texts: initialTexts(signature), json: '', sample: hasSample ? 0 : null };
}

export function withSample(shape: IShape, input: IInput, sample: number): IInput {
  const { signature } = shape;
  const row = signature ? sampleRows(signature)[sample] : undefined;
  if (!signature || !row) {
    return input;
  }
  const texts = fieldsOf(signature).map((field, index) => toText(field, row[index]));
  const json =
    input.view === 'json' ? pretty(requestBody(signature, shape.protocol, [row], shape.outputs)) : '';
  return { ...input, texts, json, sample };
}

export function withText(input: IInput, index: number, text: string): IInput {
  return { ...input, sample: null, texts: input.texts.map((old, at) => (at === index ? text : old)) };
}

/** The same request, as JSON. */
export function toJsonView(shape: IShape, input: IInput): IInput {
  const request = requestOf(shape, input);
  return { ...input, view: 'json', json: request ? pretty(request.body) : input.json };
}

/** The first row of the JSON, as a form; null where the JSON has no row for it. */
export function toFormView(shape: IShape, input: IInput): IInput | null {
  const { signature } = shape;
  const row = requestOf(shape, input)?.rows?.[0];
  if (!signature || !row) {
    return null;
  }
  const texts = fieldsOf(signature).map((field, index) => toText(field, row[index]));
  const same = texts.every((text, index) => text === input.texts[index]);
  return { ...input, view: 'form', texts, sample: same ? input.sample : null };
}

/** What each field's text means. */
export function parseFields(signature: ISignature, texts: readonly string[]): IParsed[] {
  return fieldsOf(signature).map((field, index) => {
    const parsed = parseText(field, texts[index] ?? '');
    const problem =
      field.kind === 'json' && parsed.problem === null ? misfit(field.shape, parsed.value) : null;
    return problem ? { ...parsed, problem } : parsed;
  });
}

/** The request as it would be sent; null while something in it cannot be. */
export function requestOf(shape: IShape, input: IInput): IRequest | null {
  const { signature } = shape;
  if (input.view === 'json' || signature === null) {
    const body = parseObject(input.json);
    // The text is sent and not what was parsed: a number of 20 digits stays as it was written.
    return body && { text: input.json, body, rows: signature && rowsOfBody(signature, body) };
  }
  const parsed = parseFields(signature, input.texts);
  if (parsed.some(item => item.problem !== null)) {
    return null;
  }
  const rows = [parsed.map(item => item.value)];
  const body = requestBody(signature, shape.protocol, rows, shape.outputs);
  return { text: JSON.stringify(body), body, rows };
}

function parseObject(text: string): JSONObject | null {
  try {
    const value = JSON.parse(text) as JSONValue;
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}
