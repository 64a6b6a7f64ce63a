/** The same call to copy: as Python and as curl. Pure. */
import type { JSONObject, JSONValue } from '@lumino/coreutils';

import type { IService } from '../api';

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

/** For a notebook or a script: a data frame for named columns, else the rows as they are. */
export function pythonCall(service: IService, rows: JSONValue[][] | null, body: JSONObject): string {
  const open = `endpoint = Endpoint(${JSON.stringify(service.name)})`;
  const lines = ['from kale_serve_lab import Endpoint', ''];
  const signature = service.signature;
  if (rows === null || signature === null) {
    return [...lines, open, `endpoint.predict(${pythonLiteral(body)})`, ''].join('\n');
  }
  if (signature.layout === 'tensor') {
    const values = pythonLiteral(rows.map(row => row[0]));
    return [...lines, open, `endpoint.predict(${values})`, ''].join('\n');
  }
  if (!signature.named) {
    return [...lines, open, `endpoint.predict(${pythonLiteral(rows)})`, ''].join('\n');
  }
  const columns = signature.inputs.map(
    (input, index) =>
      `    ${JSON.stringify(input.name)}: ${pythonColumn(
        input.dtype,
        rows.map(row => row[index])
      )},`
  );
  return [
    'import pandas as pd',
    ...lines,
    open,
    'rows = pd.DataFrame({',
    ...columns,
    '})',
    'endpoint.predict(rows)',
    ''
  ].join('\n');
}

/** For a terminal on this machine, through the gateway. `dataDir` holds the gateway's token. */
export function curlCall(service: IService, dataDir: string | null, body: JSONObject): string {
  const name = encodeURIComponent(service.name);
  const call = service.protocol === 'v1' ? `v1/models/${name}:predict` : `v2/models/${name}/infer`;
  const token = dataDir === null ? '"$KALE_SERVE_DATA_DIR/token"' : shellQuote(`${dataDir}/token`);
  return [
    `curl ${shellQuote(`${service.url}/${call}`)} \\`,
    `  -H "Authorization: Bearer $(cat ${token})" \\`,
    "  -H 'Content-Type: application/json' \\",
    `  -d ${shellQuote(JSON.stringify(body))}`,
    ''
  ].join('\n');
}

function shellQuote(text: string): string {
  return `'${text.replace(/'/g, "'\\''")}'`;
}
