import { fieldsOf, initialTexts, parseText, sampleRows } from '../fields';
import { image, mixed, texts, tumour } from './fixtures';

describe('fieldsOf', () => {
  it('gives each column the input that its dtype asks for', () => {
    expect(fieldsOf(mixed).map(field => field.kind)).toEqual(['integer', 'number', 'category', 'boolean']);
    expect(fieldsOf(mixed)[2].choices).toEqual(['Bern', 'Chur']);
  });

  it('takes a row of a tensor as JSON, and a text as a text', () => {
    expect(fieldsOf(image)[0].kind).toBe('json');
    expect(fieldsOf(texts)[0].kind).toBe('text');
  });
});

describe('initialTexts', () => {
  it('is the first sample row', () => {
    expect(initialTexts(tumour)).toEqual(['17.99', '10.38', '122.8']);
    expect(initialTexts(mixed)).toEqual(['42', '1234.5', 'Bern', 'true']);
  });

  it('is the middle of the ranges where there is no sample', () => {
    expect(initialTexts({ ...tumour, input_example: null })).toEqual(['17.55', '24.5', '116.2']);
  });

  it('leaves out sample rows that do not fit the columns', () => {
    expect(sampleRows({ ...tumour, input_example: [[1, 2]] })).toEqual([]);
  });
});

describe('parseText', () => {
  const [age, income] = fieldsOf(mixed);
  const [radius] = fieldsOf(tumour);

  it.each(['17.99', ' -1e-3 ', '+5', '.5', '1234567.891'])('reads %s to the last bit', text => {
    expect(parseText(income, text)).toEqual({ value: Number(text), problem: null, remark: null });
  });

  it.each([
    ['', 'missing'],
    ['3,14', 'not-a-number'],
    ['0x10', 'not-a-number'],
    ['Infinity', 'not-a-number'],
    ['1e999', 'not-a-number']
  ])('refuses %p as %s', (text, kind) => {
    expect(parseText(income, text).problem).toEqual({ kind });
  });

  it('holds whole numbers to their type', () => {
    expect(parseText(age, '4.5').problem).toEqual({ kind: 'not-whole' });
    expect(parseText({ ...age, dtype: 'UINT8' }, '256').problem).toEqual({
      kind: 'outside-type',
      low: 0,
      high: 255
    });
    expect(parseText(age, '9007199254740993').problem).toEqual({ kind: 'too-large' });
  });

  it('remarks on a value outside training and sends it all the same', () => {
    expect(parseText(radius, '281')).toEqual({
      value: 281,
      problem: null,
      remark: { kind: 'above', bound: 28.1, times: 10 }
    });
    expect(parseText(radius, '1').remark).toEqual({ kind: 'below', bound: 7, times: null });
    expect(parseText(radius, '28.1').remark).toBeNull();
  });
});
