import { ServerConnection } from '@jupyterlab/services';
import type { Event } from '@jupyterlab/services';
import { Stream } from '@lumino/signaling';

import { ApiClient } from '../api';
import { KaleServeModel } from '../model/model';

type Answer = { status?: number; body: unknown };

/** An answer, or what makes one of the request's body. */
type Answers = Answer | ((body: unknown) => Answer);

/** A Jupyter server with the answers that a test gives it, by method and path; it notes what it was asked. */
export class FakeServer {
  constructor() {
    this.settings = ServerConnection.makeSettings({
      baseUrl: 'http://localhost/',
      wsUrl: 'ws://localhost/',
      fetch: (input: RequestInfo | URL, init?: RequestInit) => this._answer(new Request(input, init))
    });
    this.client = new ApiClient(this.settings);
    const manager = { isDisposed: false, dispose: () => undefined, emit: () => Promise.resolve() };
    const stream: Event.Stream = new Stream(manager as unknown as Event.IManager);
    this.events = { ...manager, serverSettings: this.settings, stream };
  }

  readonly settings: ServerConnection.ISettings;
  readonly client: ApiClient;
  readonly events: Event.IManager;
  readonly asked: string[] = [];
  down = false;

  answer(call: string, answer: Answers): void {
    this._answers.set(call, answer);
  }

  emit(event: { [key: string]: string | number | boolean }): void {
    const schema_id = 'https://kale-serve-lab.dev/events/state/v1';
    (this.events.stream as Stream<Event.IManager, Event.Emission>).emit({
      namespace: 'default',
      ...event,
      schema_id
    });
  }

  model(): KaleServeModel {
    return new KaleServeModel({ client: this.client, events: this.events });
  }

  private async _answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const path = url.pathname.replace('/kale-serve/', '');
    // JupyterLab adds the time to each URL, against caches.
    const search = url.search.replace(/[?&]\d+$/, '');
    this.asked.push(`${request.method} ${path}${search}`);
    const found = this._answers.get(`${request.method} ${path}`);
    const answer = typeof found === 'function' ? found(await request.json()) : found;
    if (this.down) {
      throw new TypeError('Failed to fetch');
    }
    if (!answer) {
      return new Response('not found', { status: 404 });
    }
    const status = answer.status ?? 200;
    return new Response(status === 204 ? null : JSON.stringify(answer.body), { status });
  }

  private readonly _answers = new Map<string, Answers>();
}
