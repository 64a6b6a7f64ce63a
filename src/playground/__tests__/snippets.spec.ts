import { requestBody } from '../request';
import { callable, clusterCall, curlCall, pythonCall, pythonLiteral } from '../snippets';
import { mixed, service, several, texts, tumour } from './fixtures';

describe('pythonCall', () => {
  it('is a data frame where the columns have names', () => {
    const code = pythonCall(service({ signature: mixed }), [[42, 15, 'Bern', true]], {});
    expect(code).toBe(
      [
        'import pandas as pd',
        'from kale_serve_lab import Endpoint',
        '',
        'endpoint = Endpoint("tumour")',
        'rows = pd.DataFrame({',
        '    "age": [42],',
        '    "income": [15.0],',
        '    "city": ["Bern"],',
        '    "member": [True],',
        '})',
        'endpoint.predict(rows)',
        ''
      ].join('\n')
    );
  });

  it('is the rows where they have none, and the whole request where it is not for this signature', () => {
    expect(pythonCall(service({ signature: texts }), [['good']], {})).toContain('endpoint.predict(["good"])');
    expect(pythonCall(service({ signature: { ...tumour, named: false } }), [[1, 2, 3]], {})).toContain(
      'predict([[1, 2, 3]])'
    );
    expect(pythonCall(service(), null, { a: null })).toContain('endpoint.predict({"a": None})');
  });
});

it('gives several tensors by name, each in its dtype, and asks over gRPC where told so', () => {
  const row = [
    [
      [0, 1],
      [2, 3]
    ],
    7
  ];
  expect(pythonCall(service({ signature: several }), [row], {}, 'grpc-v2')).toBe(
    [
      'import numpy as np',
      'from kale_serve_lab import Endpoint',
      '',
      'endpoint = Endpoint("tumour", protocol_version="grpc-v2")',
      'inputs = {',
      '    "pixels": np.array([[[0, 1], [2, 3]]], dtype="float32"),',
      '    "age": np.array([7], dtype="int64"),',
      '}',
      'endpoint.predict(inputs)',
      ''
    ].join('\n')
  );
});

it('writes JSON values as Python', () => {
  expect(pythonLiteral({ a: [true, false, null, 1.5, 'l\u2019a "b"\n'] })).toBe(
    '{"a": [True, False, None, 1.5, "l’a \\"b\\"\\n"]}'
  );
});

describe('curlCall', () => {
  it('quotes for the shell and reads the token from its file', () => {
    const body = requestBody(texts, 'v2', [["it's"]], null);
    const code = curlCall(service(), "/home/o'neil/data", body);
    expect(code).toContain("curl 'http://127.0.0.1:8787/serving/default/tumour/v2/models/tumour/infer'");
    expect(code).toContain(`Bearer $(cat '/home/o'\\''neil/data/token')`);
    expect(code).toContain(`it'\\''s`);
  });

  it('calls v1 by its own path', () => {
    expect(curlCall(service({ protocol: 'v1' }), null, {})).toContain('/v1/models/tumour:predict');
  });
});

describe('a service of a cluster', () => {
  const there = service({ target: 'kserve', namespace: 'team', protocol: 'v2' });
  const address = {
    kind: 'external',
    url: 'https://in.example.org/',
    host: 'tumour.team',
    works: true,
    why: null
  };

  it('is named in Python with its target and namespace', () => {
    expect(pythonCall(there, null, {})).toContain('Endpoint("tumour", target="kserve", namespace="team")');
  });

  it('is called by its own address, with a token of the caller', () => {
    expect(clusterCall(there, address, { a: 1 }).split(' \\\n  ')).toEqual([
      "curl 'https://in.example.org/v2/models/tumour/infer'",
      '-H "Authorization: Bearer $TOKEN"',
      "-H 'Host: tumour.team'",
      "-H 'Content-Type: application/json'",
      '-d \'{"a":1}\'\n'
    ]);
  });

  it('is not called where an address cannot work, nor by a path of the API server', () => {
    const broken = { ...address, works: false };
    const proxy = { ...address, kind: 'api-server', url: '/api/v1/namespaces/team/services/http:x:80/proxy' };
    expect(callable([broken, proxy, address])).toEqual([address]);
  });
});
