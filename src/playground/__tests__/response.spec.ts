import { nullTranslator } from '@jupyterlab/translation';
import type { JSONValue } from '@lumino/coreutils';

import { readAnswer, showPercent, showValue } from '../response';
import type { IBar } from '../response';
import { several, tumour } from './fixtures';

const trans = nullTranslator.load('kale_serve_lab');

const v2 = {
  outputs: [
    { name: 'predict', datatype: 'BYTES', shape: [1], data: ['benign'] },
    { name: 'predict_proba', datatype: 'FP64', shape: [1, 2], data: [0.029, 0.971] }
  ]
};

describe('readAnswer', () => {
  const benign: IBar = { label: trans.__('benign'), probability: 0.971 };
  const malignant: IBar = { label: trans.__('malignant'), probability: 0.029 };

  it('shows v2 probabilities as bars by class, the most likely first', () => {
    expect(readAnswer(v2, tumour)).toEqual({
      tables: [
        {
          name: null,
          columns: ['predict', 'predict_proba[malignant]', 'predict_proba[benign]'],
          rows: [['benign', '0.029', '0.971']],
          bars: [[benign, malignant]]
        }
      ],
      summary: 'benign · 97.1 %'
    });
  });

  it('reads v1 to the same', () => {
    const v1 = { predictions: ['benign'], outputs: { predict_proba: [[0.029, 0.971]] } };
    expect(readAnswer(v1, tumour)).toEqual(readAnswer(v2, tumour));
  });

  it('has a table and no bars for a regression of several rows', () => {
    const answer = readAnswer({ predictions: [1.5, 2.25] }, null);
    const table = { name: null, columns: ['predict'], rows: [['1.5'], ['2.25']], bars: null };
    expect(answer).toEqual({ tables: [table], summary: '2 × 1' });
  });

  it('has a table for each of several outputs, and bars for a distribution', () => {
    const outputs = [
      { name: 'class', datatype: 'FP32', shape: [1, 2], data: [0.25, 0.75] },
      { name: 'box', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] }
    ];
    const answer = readAnswer({ outputs }, several);
    expect(answer?.tables.map(table => table.name)).toEqual(['class', 'box']);
    expect(answer?.tables[0]).toMatchObject({
      columns: ['class[cat]', 'class[dog]'],
      bars: [
        [
          { label: 'dog', probability: 0.75 },
          { label: 'cat', probability: 0.25 }
        ]
      ]
    });
    expect(answer?.tables[1]).toMatchObject({ rows: [['1', '2', '3', '4']], bars: null });
    expect(answer?.summary).toBe('dog · 75.0 %');
  });

  it('takes numbers for probabilities only where they add up to 1', () => {
    const of = (...data: number[]) =>
      readAnswer({ outputs: [{ name: 'y', datatype: 'FP32', shape: [1, data.length], data }] }, null);
    expect(of(0.2, 0.8000001)?.tables[0].bars).not.toBeNull();
    expect(of(0.2, 0.9)?.tables[0].bars).toBeNull();
    expect(of(-0.5, 1.5)?.tables[0].bars).toBeNull();
    expect(of(1)?.tables[0].bars).toBeNull();
  });

  it('numbers the classes that have no label', () => {
    const answer = readAnswer(v2, null);
    expect(answer?.tables[0].bars?.[0].map(bar => bar.label)).toEqual(['1', '0']);
  });

  it.each<JSONValue>([null, 'text', [1, 2], { anything: 1 }, { outputs: [] }])(
    'leaves %j to the JSON view',
    answer => {
      expect(readAnswer(answer, tumour)).toBeNull();
    }
  );

  it('survives an answer without rows', () => {
    const empty = { outputs: [{ name: 'predict', datatype: 'FP64', shape: [0], data: [] }] };
    expect(readAnswer(empty, tumour)).toMatchObject({ tables: [{ rows: [], bars: null }] });
  });
});

describe('numbers', () => {
  it('are short and do not claim more than they know', () => {
    expect([1, 0.1 + 0.2, 1234567.891, 0.00001234567].map(showValue)).toEqual([
      '1',
      '0.3',
      '1234570',
      '1.23457e-5'
    ]);
    expect([0, 0.0001, 0.971, 0.99999, 1].map(showPercent)).toEqual([
      '0.0 %',
      '< 0.1 %',
      '97.1 %',
      '> 99.9 %',
      '100.0 %'
    ]);
  });
});
