import type { IObservableDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import { asApiError } from '../api';
import type { ApiClient, ApiError, ILogOptions, IServiceKey } from '../api';
import { LogBuffer } from './buffer';

/** What a log viewer keeps, in lines. */
const MOST_LINES = 5_000;
const TAIL = 500;
/** The wait before asking again after the stream broke, in milliseconds. */
const RETRY = 2_000;

export type FollowState =
  | { kind: 'connecting' }
  | { kind: 'following' }
  | { kind: 'ended' }
  | { kind: 'interrupted'; error: ApiError };

/** An endpoint's log, followed over the SSE handler until disposed. Knows no DOM. */
export class LogFollower implements IObservableDisposable {
  constructor(client: ApiClient, key: IServiceKey, options: ILogOptions = {}) {
    this._client = client;
    this._key = key;
    this._options = options;
  }

  get lines(): readonly string[] {
    return this._buffer.lines;
  }

  get dropped(): number {
    return this._buffer.dropped;
  }

  get state(): FollowState {
    return this._state;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get disposed(): ISignal<this, void> {
    return this._disposed;
  }

  get isDisposed(): boolean {
    return this._abort.signal.aborted;
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this._abort.abort();
    this._wake?.();
    this._disposed.emit();
    Signal.clearData(this);
  }

  /** Follow until disposed or until the endpoint is gone. */
  async run(): Promise<void> {
    while (!this.isDisposed) {
      this._set({ kind: 'connecting' });
      try {
        await this._once();
        this._set({ kind: 'ended' });
        return;
      } catch (reason) {
        if (this.isDisposed) {
          return;
        }
        const error = asApiError(reason);
        this._set({ kind: 'interrupted', error });
        if (error.status === 404) {
          return;
        }
      }
      await this._pause();
    }
  }

  private async _once(): Promise<void> {
    const chunks = this._client.followLogs(this._key, { tail: TAIL, ...this._options }, this._abort.signal);
    let first = true;
    for await (const text of chunks) {
      if (first) {
        // The tail comes again after a break: what was kept would stand there twice.
        this._buffer.clear();
        first = false;
      }
      this._buffer.append(text);
      this._set({ kind: 'following' });
    }
  }

  private _pause(): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, RETRY);
      this._wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  private _set(state: FollowState): void {
    if (!this.isDisposed) {
      this._state = state;
      this._changed.emit();
    }
  }

  private readonly _client: ApiClient;
  private readonly _key: IServiceKey;
  private readonly _options: ILogOptions;
  private readonly _buffer = new LogBuffer(MOST_LINES);
  private readonly _abort = new AbortController();
  private readonly _changed = new Signal<this, void>(this);
  private readonly _disposed = new Signal<this, void>(this);
  private _state: FollowState = { kind: 'connecting' };
  private _wake: (() => void) | null = null;
}
