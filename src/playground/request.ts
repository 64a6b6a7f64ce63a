/** From rows to the body of a prediction and back. Pure. */
import type { JSONObject, JSONValue } from '@lumino/coreutils';

import type { IService, ISignature, Protocol } from '../api';
import type { Problem } from './fields';

/** The signature that tells of the outputs: a transformer's seldom does, then the model's own. */
export function outputsSignature(service: IService): ISignature | null {
  const own = service.signature;
  return own && own.outputs.length > 0 ? own : (service.model?.signature ?? own);
}

/** The protocol that this page asks with: gRPC is for programs. */
export function askedBy(service: IService): Protocol {
  const { protocol, protocols } = service;
  if (protocol === 'v1' || protocol === 'v2') {
    return protocol;
  }
  return protocols.includes('v2') || !protocols.includes('v1') ? 'v2' : 'v1';
}

/** Which outputs to ask for: the probabilities too where the model has them. */
export function wantedOutputs(signature: ISignature | null): string[] | null {
  const names = signature?.outputs.map(output => output.name) ?? [];
  return names.includes('predict_proba') ? ['predict', 'predict_proba'] : null;
}

/** The dtype of an unmixed numeric table, which travels as one tensor; null for all else. */
export function oneDtype(signature: ISignature): string | null {
  const found = new Set(signature.inputs.map(input => input.dtype));
  const [first] = found;
  return signature.layout === 'columns' && found.size === 1 && first !== 'BYTES' ? first : null;
}

/** The body of a request; each row has one value a field. */
export function requestBody(
  signature: ISignature,
  protocol: Protocol,
  rows: JSONValue[][],
  outputs: string[] | null
): JSONObject {
  if (protocol === 'v1') {
    const instances = instancesOf(signature, rows);
    return outputs ? { instances, parameters: { outputs } } : { instances };
  }
  const inputs = inputTensors(signature, rows);
  return outputs ? { inputs, outputs: outputs.map(name => ({ name })) } : { inputs };
}

function instancesOf(signature: ISignature, rows: JSONValue[][]): JSONValue[] {
  switch (signature.layout) {
    case 'tensor':
      return rows.map(row => row[0]);
    case 'tensors':
      return rows.map(row => Object.fromEntries(signature.inputs.map((spec, at) => [spec.name, row[at]])));
    case 'columns':
      return rows;
  }
}

function inputTensors(signature: ISignature, rows: JSONValue[][]): JSONObject[] {
  const dtype = oneDtype(signature);
  if (dtype !== null) {
    const shape = [rows.length, signature.inputs.length];
    return [{ name: 'input-0', datatype: dtype, shape, data: flat(rows) }];
  }
  return signature.inputs.map((spec, at) => {
    const data = rows.map(row => row[at]);
    const shape = [rows.length, ...(signature.layout === 'columns' ? [] : shapeOf(data[0] ?? null))];
    return { name: spec.name, datatype: spec.dtype, shape, data: flat(data) };
  });
}

/**
 * The rows inside a body that somebody wrote; null where it is no request for this signature.
 */
export function rowsOfBody(signature: ISignature, body: JSONValue): JSONValue[][] | null {
  if (!isObject(body)) {
    return null;
  }
  const instances = body['instances'];
  if (Array.isArray(instances)) {
    return rowsOfInstances(signature, instances);
  }
  const inputs = body['inputs'];
  return Array.isArray(inputs) ? rowsOfTensors(signature, inputs) : null;
}

function rowsOfInstances(signature: ISignature, instances: JSONValue[]): JSONValue[][] | null {
  if (signature.layout === 'tensor') {
    return instances.map(instance => [instance]);
  }
  const names = signature.inputs.map(input => input.name);
  const rows = instances.map(instance => {
    if (isObject(instance)) {
      return names.every(name => name in instance) ? names.map(name => instance[name]) : null;
    }
    return Array.isArray(instance) && instance.length === names.length ? instance : null;
  });
  return rows.every((row): row is JSONValue[] => row !== null) ? rows : null;
}

function rowsOfTensors(signature: ISignature, inputs: JSONValue[]): JSONValue[][] | null {
  const tensors = inputs.filter(isObject);
  if (tensors.length === 1 && oneDtype(signature) !== null) {
    const rows = rowsOfTensor(tensors[0])?.map(row => flat([row]));
    return rows?.every(row => row.length === signature.inputs.length) ? rows : null;
  }
  const columns = signature.inputs.map(input => {
    // The name of a lone tensor is nobody's business.
    const tensor =
      signature.layout === 'tensor' && tensors.length === 1
        ? tensors[0]
        : tensors.find(found => found['name'] === input.name);
    const rows = tensor ? rowsOfTensor(tensor) : null;
    return signature.layout === 'columns' ? (rows?.map(row => flat([row])[0]) ?? null) : rows;
  });
  const [first] = columns;
  if (!columns.every((column): column is JSONValue[] => column !== null && column.length === first?.length)) {
    return null;
  }
  return (first ?? []).map((_, row) => columns.map(column => column[row]));
}

/** A tensor's rows, each as the first dimension leaves it; null where data and shape do not agree. */
function rowsOfTensor({ shape, data }: JSONObject): JSONValue[] | null {
  if (!isShape(shape) || shape.length === 0 || !Array.isArray(data)) {
    return null;
  }
  const size = product(shape.slice(1));
  const elements = flat(data);
  if (elements.length !== shape[0] * size) {
    return null;
  }
  return chunks(elements, size).map(row => (shape.length === 1 ? row[0] : nested(row, shape.slice(1))));
}

/** What keeps a value from being a row of this shape; open lengths fit any. */
export function misfit(wanted: readonly number[], value: JSONValue): Problem | null {
  const given = shapeOf(value);
  if (product(given) !== flat([value]).length) {
    return { kind: 'ragged' };
  }
  const fits =
    given.length === wanted.length && wanted.every((length, at) => length < 0 || length === given[at]);
  return fits ? null : { kind: 'shape', given, wanted: [...wanted] };
}

export function flat(value: JSONValue[]): JSONValue[] {
  return value.flatMap(item => (Array.isArray(item) ? flat(item) : [item]));
}

export function chunks<T>(items: T[], size: number): T[][] {
  const count = size > 0 ? Math.floor(items.length / size) : 0;
  return Array.from({ length: count }, (_, index) => items.slice(index * size, (index + 1) * size));
}

export function isObject(value: JSONValue | undefined): value is JSONObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isShape(value: JSONValue | undefined): value is number[] {
  return (
    Array.isArray(value) && value.every(length => Number.isSafeInteger(length) && (length as number) >= 0)
  );
}

/** The lengths of nested lists, by the first of each. */
export function shapeOf(value: JSONValue): number[] {
  return Array.isArray(value) ? [value.length, ...shapeOf(value[0] ?? null)] : [];
}

function nested(elements: JSONValue[], shape: number[]): JSONValue {
  if (shape.length <= 1) {
    return elements;
  }
  const size = product(shape.slice(1));
  return chunks(elements, size).map(part => nested(part, shape.slice(1)));
}

function product(shape: readonly number[]): number {
  return shape.reduce((size, length) => size * length, 1);
}
