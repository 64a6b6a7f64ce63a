/**
 * The data of each event of a `text/event-stream`, comments (heartbeats) left out.
 * EventSource cannot be used: it sends no headers, and so no token.
 */
export async function* readEventStream(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      rest += decoder.decode(value, { stream: true });
      const events = rest.replace(/\r\n/g, '\n').split('\n\n');
      rest = events.pop() ?? '';
      for (const event of events) {
        const data = event
          .split('\n')
          .filter(line => line.startsWith('data:'))
          .map(line => line.slice(5).replace(/^ /, ''));
        if (data.length > 0) {
          yield data.join('\n');
        }
      }
    }
  } finally {
    // Leaving early (the panel was closed) must end the request too.
    await reader.cancel();
  }
}
