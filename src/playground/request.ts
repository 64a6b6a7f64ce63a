/** From rows to the body of a prediction and back. Pure. */
import type { JSONObject, JSONValue } from '@lumino/coreutils';

import type { IService, ISignature, Protocol } from '../api';
import { rowSize } from './fields';

/** The signature that tells of the outputs: a transformer's seldom does, then the model's own. */
export function outputsSignature(service: IService): ISignature | null {
  const own = service.signature;
  return own && own.outputs.length > 0 ? own : (service.model?.signature ?? own);
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
    const instances = signature.layout === 'tensor' ? rows.map(row => row[0]) : rows;
    return outputs ? { instances, parameters: { outputs } } : { instances };
  }
  const inputs = inputTensors(signature, rows);
  return outputs ? { inputs, outputs: outputs.map(name => ({ name })) } : { inputs };
}

function inputTensors(signature: ISignature, rows: JSONValue[][]): JSONObject[] {
  if (signature.layout === 'tensor') {
    const spec = signature.inputs[0];
    const data = rows.map(row => row[0]);
    const shape = [rows.length, ...shapeOf(data[0] ?? null)];
    return [{ name: spec.name, datatype: spec.dtype, shape, data: flat(data) }];
  }
  const dtype = oneDtype(signature);
  if (dtype !== null) {
    const shape = [rows.length, signature.inputs.length];
    return [{ name: 'input-0', datatype: dtype, shape, data: flat(rows) }];
  }
  return signature.inputs.map((spec, column) => ({
    name: spec.name,
    datatype: spec.dtype,
    shape: [rows.length],
    data: rows.map(row => row[column])
  }));
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
  if (signature.layout === 'tensor' || oneDtype(signature) !== null) {
    if (tensors.length === 1) {
      const { shape, data } = tensors[0];
      if (!isShape(shape) || shape.length === 0 || !Array.isArray(data)) {
        return null;
      }
      const size = shape.slice(1).reduce((product, length) => product * length, 1);
      const elements = flat(data);
      if (elements.length !== shape[0] * size) {
        return null;
      }
      const rows = chunks(elements, size);
      if (signature.layout === 'tensor') {
        return rows.map(row => [shape.length === 1 ? row[0] : nested(row, shape.slice(1))]);
      }
      return size === signature.inputs.length ? rows : null;
    }
  }
  const columns = signature.inputs.map(input => {
    const data = tensors.find(tensor => tensor['name'] === input.name)?.['data'];
    return Array.isArray(data) ? flat(data) : null;
  });
  if (
    !columns.every((column): column is JSONValue[] => column !== null && column.length === columns[0]?.length)
  ) {
    return null;
  }
  return (columns[0] ?? []).map((_, row) => columns.map(column => column[row]));
}

/** Whether a value typed for a tensor's row has the size the signature asks for; open sizes fit anything. */
export function fitsTensor(signature: ISignature, value: JSONValue): boolean {
  const size = rowSize(signature.inputs[0]);
  return size === null || flat([value]).length === size;
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

function shapeOf(value: JSONValue): number[] {
  return Array.isArray(value) ? [value.length, ...shapeOf(value[0] ?? null)] : [];
}

function nested(elements: JSONValue[], shape: number[]): JSONValue {
  if (shape.length <= 1) {
    return elements;
  }
  const size = shape.slice(1).reduce((product, length) => product * length, 1);
  return chunks(elements, size).map(part => nested(part, shape.slice(1)));
}
