import { FakeServer } from '../../__tests__/server';
import { errorFromAnswer } from '../errors';
import { readEventStream } from '../sse';

describe('errorFromAnswer', () => {
  it('reads our own errors whole', () => {
    const error = {
      code: 'NameTaken',
      message: 'a exists.',
      subject: 'a',
      hint: 'Choose another.',
      details: {}
    };
    expect(errorFromAnswer(409, 'Conflict', JSON.stringify({ error }))).toMatchObject({
      status: 409,
      ...error
    });
  });

  it.each([
    [404, '<html>', 'ExtensionMissing'],
    [403, '<html>login</html>', 'Forbidden'],
    [502, '', 'UpstreamFailed'],
    [500, '[]', 'UpstreamFailed'],
    [400, '{"message": "Bad XSRF"}', 'JupyterServer']
  ])('makes a sentence of what a stranger answers (%s %s)', (status, text, code) => {
    const error = errorFromAnswer(status, 'x', text);
    expect(error.code).toBe(code);
    expect(error.message).not.toBe('');
  });
});

describe('ApiClient', () => {
  it('says that the server is away, not that a fetch failed', async () => {
    const server = new FakeServer();
    server.down = true;
    await expect(server.client.services()).rejects.toMatchObject({ status: 0, isUnavailable: true });
  });

  it('sends a prediction to the endpoint by its protocol', async () => {
    const server = new FakeServer();
    server.answer('POST serving/default/a/v2/models/a/infer', { body: { outputs: [] } });
    server.answer('POST serving/default/a/v1/models/a:predict', { body: { predictions: [] } });
    const key = { name: 'a', namespace: 'default', target: 'kserve' };
    expect((await server.client.predict(key, 'v2', '{}')).json).toEqual({ outputs: [] });
    expect((await server.client.predict(key, 'v1', '{}')).json).toEqual({ predictions: [] });
    expect(server.asked.every(call => call.endsWith('?target=kserve'))).toBe(true);
  });
});

describe('readEventStream', () => {
  it('puts events together that come in pieces, and leaves heartbeats out', async () => {
    const pieces = [
      'data: {"te',
      'xt": 1}\n',
      '\n: heartbeat\n\ndata: a\r\ndata: b\r\n\r\n',
      'data: never ended'
    ];
    const encoder = new TextEncoder();
    let at = 0;
    const reader = {
      read: () =>
        Promise.resolve(
          at < pieces.length
            ? { done: false, value: encoder.encode(pieces[at++]) }
            : { done: true, value: undefined }
        ),
      cancel: () => Promise.resolve()
    };
    const body = { getReader: () => reader } as unknown as ReadableStream<Uint8Array>;
    const seen: string[] = [];
    for await (const data of readEventStream(body)) {
      seen.push(data);
    }
    expect(seen).toEqual(['{"text": 1}', 'a\nb']);
  });
});
