import { LogBuffer } from '../buffer';

describe('LogBuffer', () => {
  it('puts lines together that come in pieces', () => {
    const buffer = new LogBuffer(10);
    buffer.append('one\ntw');
    buffer.append('o\r\nthree');
    expect(buffer.lines).toEqual(['one', 'two', 'three']);
  });

  it('keeps the last lines and says how many went', () => {
    const buffer = new LogBuffer(2);
    buffer.append('1\n2\n3\n4\n');
    expect(buffer.lines).toEqual(['3', '4']);
    expect(buffer.dropped).toBe(2);
  });
});
