import type { IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import { asApiError } from '../api';
import type { ApiClient, IMadeEnvironment } from '../api';
import type { IEnvironments } from '../tokens';
import { arrived, failed } from './state';
import type { PanelState } from './state';

/** The environments that were made here. Asked for only by who shows them: their sizes are counted on disk. */
export class Environments implements IEnvironments, IDisposable {
  constructor(client: ApiClient) {
    this._client = client;
  }

  get state(): PanelState<readonly IMadeEnvironment[]> {
    return this._state;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    Signal.clearData(this);
  }

  async load(): Promise<void> {
    const asked = ++this._asked;
    let state: PanelState<readonly IMadeEnvironment[]>;
    try {
      const items = await this._client.environments();
      state = arrived<readonly IMadeEnvironment[]>(items, items.length === 0);
    } catch (reason) {
      state = failed(this._state, asApiError(reason), Date.now());
    }
    // The newest question wins.
    if (asked === this._asked && !this._isDisposed) {
      this._state = state;
      this._changed.emit();
    }
  }

  async remove(name: string): Promise<void> {
    await this._client.deleteEnvironment(name);
    await this.load();
  }

  private readonly _client: ApiClient;
  private readonly _changed = new Signal<this, void>(this);
  private _state: PanelState<readonly IMadeEnvironment[]> = { kind: 'loading' };
  private _asked = 0;
  private _isDisposed = false;
}
