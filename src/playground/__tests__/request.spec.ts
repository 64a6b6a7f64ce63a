import type { JSONValue } from '@lumino/coreutils';

import type { Protocol } from '../../api';
import { sampleRows } from '../fields';
import { askedBy, misfit, requestBody, rowsOfBody, wantedOutputs } from '../request';
import { image, mixed, service, several, texts, tumour } from './fixtures';

describe('requestBody', () => {
  it('sends an unmixed numeric table as one tensor and asks for the probabilities', () => {
    expect(requestBody(tumour, 'v2', sampleRows(tumour), wantedOutputs(tumour))).toEqual({
      inputs: [
        { name: 'input-0', datatype: 'FP64', shape: [2, 3], data: [17.99, 10.38, 122.8, 20.57, 17.77, 132.9] }
      ],
      outputs: [{ name: 'predict' }, { name: 'predict_proba' }]
    });
  });

  it('sends a mixed table as one tensor a column', () => {
    expect(requestBody(mixed, 'v2', sampleRows(mixed), wantedOutputs(mixed))).toEqual({
      inputs: [
        { name: 'age', datatype: 'INT64', shape: [1], data: [42] },
        { name: 'income', datatype: 'FP64', shape: [1], data: [1234.5] },
        { name: 'city', datatype: 'BYTES', shape: [1], data: ['Bern'] },
        { name: 'member', datatype: 'BOOL', shape: [1], data: [true] }
      ]
    });
  });

  it('gives a tensor the shape of its rows', () => {
    expect(requestBody(image, 'v2', sampleRows(image), null)).toEqual({
      inputs: [{ name: 'input-0', datatype: 'FP64', shape: [1, 2, 2], data: [0, 1, 2, 3] }]
    });
    expect(requestBody(texts, 'v2', sampleRows(texts), null)).toEqual({
      inputs: [{ name: 'input-0', datatype: 'BYTES', shape: [2], data: ['good film', 'bad film'] }]
    });
  });

  it('sends several tensors by their names', () => {
    expect(requestBody(several, 'v2', sampleRows(several), null)).toEqual({
      inputs: [
        { name: 'pixels', datatype: 'FP32', shape: [1, 2, 2], data: [0, 1, 2, 3] },
        { name: 'age', datatype: 'INT64', shape: [1], data: [7] }
      ]
    });
    expect(requestBody(several, 'v1', sampleRows(several), null)).toEqual({
      instances: [
        {
          pixels: [
            [0, 1],
            [2, 3]
          ],
          age: 7
        }
      ]
    });
  });

  it('speaks v1 with instances', () => {
    expect(requestBody(tumour, 'v1', [[1, 2, 3]], ['predict', 'predict_proba'])).toEqual({
      instances: [[1, 2, 3]],
      parameters: { outputs: ['predict', 'predict_proba'] }
    });
    expect(requestBody(texts, 'v1', [['good film']], null)).toEqual({ instances: ['good film'] });
  });
});

describe('rowsOfBody', () => {
  const cases = ([tumour, mixed, image, texts, several] as const).flatMap(signature =>
    (['v1', 'v2'] as Protocol[]).map(protocol => ({ signature, protocol }))
  );

  it.each(cases)('finds again what requestBody has put in ($protocol)', ({ signature, protocol }) => {
    const rows = sampleRows(signature);
    expect(rowsOfBody(signature, requestBody(signature, protocol, rows, null))).toEqual(rows);
  });

  it('reads rows by name and columns in any order', () => {
    const instances = [{ 'mean texture': 2, 'mean radius': 1, 'mean perimeter': 3 }];
    expect(rowsOfBody(tumour, { instances })).toEqual([[1, 2, 3]]);
    const inputs = [...tumour.inputs].reverse().map((input, index) => ({
      name: input.name,
      datatype: 'FP64',
      shape: [1, 1],
      data: [[index]]
    }));
    expect(rowsOfBody(tumour, { inputs })).toEqual([[2, 1, 0]]);
  });

  it.each<JSONValue>([
    null,
    [],
    {},
    { instances: [[1, 2]] },
    { instances: [{ 'mean radius': 1 }] },
    { inputs: [{ name: 'x', datatype: 'FP64', shape: [1, 3], data: [1, 2] }] },
    { inputs: [{ name: 'x', datatype: 'FP64', shape: [-1, 3], data: [1, 2, 3] }] },
    { inputs: [{ name: 'x', datatype: 'FP64', shape: 'wide', data: [1, 2, 3] }] },
    { inputs: [] }
  ])('has no rows for %j', body => {
    expect(rowsOfBody(tumour, body)).toBeNull();
  });
});

describe('misfit', () => {
  it('takes any length where the signature leaves it open', () => {
    expect(misfit([-1, 2], [[1, 2]])).toBeNull();
    expect(
      misfit(
        [-1, 2],
        [
          [1, 2],
          [3, 4]
        ]
      )
    ).toBeNull();
  });

  it('says which shape was given and which is needed', () => {
    expect(misfit([2, 2], [1, 2, 3, 4])).toEqual({ kind: 'shape', given: [4], wanted: [2, 2] });
    expect(misfit([2, 2], 1)).toEqual({ kind: 'shape', given: [], wanted: [2, 2] });
    expect(misfit([2, 2], [[1, 2], [3]])).toEqual({ kind: 'ragged' });
  });
});

it('asks by REST where programs ask by gRPC', () => {
  expect(askedBy(service({ protocol: 'v1' }))).toBe('v1');
  expect(askedBy(service({ protocol: 'grpc-v2', protocols: ['v1', 'v2', 'grpc-v2'] }))).toBe('v2');
  expect(askedBy(service({ protocol: 'grpc-v1', protocols: ['v1', 'grpc-v1'] }))).toBe('v1');
});
