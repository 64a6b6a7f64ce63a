/** The same call to copy: as Python and as curl. Pure. */
import type { JSONObject, JSONValue } from '@lumino/coreutils';

import { LOCAL_TARGET } from '../api';
import type { AnyProtocol, IAddress, IService, ISignature } from '../api';
import { askedBy } from './request';

/** A JSON value as a Python literal. JSON's escapes are Python's. */
export function pythonLiteral(value: JSONValue): string {
  if (value === null) {
    return 'None';
  }
  if (typeof value === 'boolean') {
    return value ? 'True' : 'False';
  }
  if (Array.isArray(value)) {
    return `[${value.map(pythonLiteral).join(', ')}]`;
  }
  if (typeof value === 'object') {
    const items = Object.entries(value).map(
      ([key, item]) => `${JSON.stringify(key)}: ${pythonLiteral(item)}`
    );
    return `{${items.join(', ')}}`;
  }
  return JSON.stringify(value);
}

/** The rows' values of one column; a column of floats stays one where its values are whole. */
function pythonColumn(dtype: string, values: JSONValue[]): string {
  const literals = values.map(value =>
    dtype.startsWith('FP') && Number.isSafeInteger(value) ? `${String(value)}.0` : pythonLiteral(value)
  );
  return `[${literals.join(', ')}]`;
}

/**
 * For a notebook or a script: a data frame for named columns, arrays for tensors, else the rows as they are.
 * With `protocol` the endpoint is asked over that one.
 */
export function pythonCall(
  service: IService,
  rows: JSONValue[][] | null,
  body: JSONObject,
  protocol?: AnyProtocol
): string {
  const { target, namespace } = service;
  const where =
    target === LOCAL_TARGET
      ? ''
      : `, target=${JSON.stringify(target)}, namespace=${JSON.stringify(namespace)}`;
  const over = protocol ? `, protocol_version=${JSON.stringify(protocol)}` : '';
  const open = `endpoint = Endpoint(${JSON.stringify(service.name)}${where}${over})`;
  const { imports, given, argument } = argumentOf(service.signature, rows, body);
  return [
    ...imports,
    'from kale_serve_lab import Endpoint',
    '',
    open,
    ...given,
    `endpoint.predict(${argument})`,
    ''
  ].join('\n');
}

interface IArgument {
  imports: string[];
  /** Lines that make the argument. */
  given: string[];
  argument: string;
}

function argumentOf(signature: ISignature | null, rows: JSONValue[][] | null, body: JSONObject): IArgument {
  const plain = (value: JSONValue): IArgument => ({ imports: [], given: [], argument: pythonLiteral(value) });
  if (rows === null || signature === null) {
    return plain(body);
  }
  if (signature.layout === 'tensor') {
    return plain(rows.map(row => row[0]));
  }
  if (signature.layout === 'columns' && !signature.named) {
    return plain(rows);
  }
  const values = signature.inputs.map((_, index) => rows.map(row => row[index]));
  if (signature.layout === 'tensors') {
    const arrays = signature.inputs.map(
      ({ name, dtype }, index) =>
        `    ${JSON.stringify(name)}: np.array(${pythonLiteral(values[index])}, dtype="${numpyName(dtype)}"),`
    );
    return { imports: ['import numpy as np'], given: ['inputs = {', ...arrays, '}'], argument: 'inputs' };
  }
  const columns = signature.inputs.map(
    ({ name, dtype }, index) => `    ${JSON.stringify(name)}: ${pythonColumn(dtype, values[index])},`
  );
  return {
    imports: ['import pandas as pd'],
    given: ['rows = pd.DataFrame({', ...columns, '})'],
    argument: 'rows'
  };
}

/** FP32 → float32, UINT8 → uint8; texts are objects. */
function numpyName(dtype: string): string {
  return dtype === 'BYTES' ? 'object' : dtype.replace(/^FP/, 'float').toLowerCase();
}

/** For a terminal on this machine, through the gateway. `dataDir` holds the gateway's token. */
export function curlCall(service: IService, dataDir: string | null, body: JSONObject): string {
  const name = encodeURIComponent(service.name);
  const call = askedBy(service) === 'v1' ? `v1/models/${name}:predict` : `v2/models/${name}/infer`;
  const token = dataDir === null ? '"$KALE_SERVE_DATA_DIR/token"' : shellQuote(`${dataDir}/token`);
  return [
    `curl ${shellQuote(`${service.url}/${call}`)} \\`,
    `  -H "Authorization: Bearer $(cat ${token})" \\`,
    "  -H 'Content-Type: application/json' \\",
    `  -d ${shellQuote(JSON.stringify(body))}`,
    ''
  ].join('\n');
}

/**
 * For a terminal that reaches an address of the service's cluster. The token is the caller's own, and stands in a variable.
 */
export function clusterCall(service: IService, address: IAddress, body: JSONObject): string {
  const name = encodeURIComponent(service.name);
  const call = askedBy(service) === 'v1' ? `v1/models/${name}:predict` : `v2/models/${name}/infer`;
  return [
    `curl ${shellQuote(`${address.url.replace(/\/+$/, '')}/${call}`)} \\`,
    '  -H "Authorization: Bearer $TOKEN" \\',
    ...(address.host ? [`  -H ${shellQuote(`Host: ${address.host}`)} \\`] : []),
    "  -H 'Content-Type: application/json' \\",
    `  -d ${shellQuote(JSON.stringify(body))}`,
    ''
  ].join('\n');
}

/** The addresses that a program can call by their URL, those that cannot work left out. */
export function callable(addresses: readonly IAddress[]): readonly IAddress[] {
  return addresses.filter(({ url, works }) => works !== false && /^https?:/.test(url));
}

function shellQuote(text: string): string {
  return `'${text.replace(/'/g, "'\\''")}'`;
}
