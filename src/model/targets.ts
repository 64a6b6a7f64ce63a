import type { IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import { LOCAL_TARGET, asApiError } from '../api';
import type { ApiClient, ITarget, ITargetList } from '../api';
import type { ITargets } from '../tokens';
import { arrived, dataOf, failed } from './state';
import type { PanelState } from './state';

/** Where endpoints can be: this machine, and a cluster where one is configured. */
export class Targets implements ITargets, IDisposable {
  constructor(client: ApiClient) {
    this._client = client;
  }

  get state(): PanelState<ITargetList> {
    return this._state;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get default(): string {
    return dataOf(this._state)?.default ?? LOCAL_TARGET;
  }

  get cluster(): ITarget | null {
    return dataOf(this._state)?.items.find(item => item.name !== LOCAL_TARGET && item.configured) ?? null;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    Signal.clearData(this);
  }

  get(name: string): ITarget | null {
    return dataOf(this._state)?.items.find(item => item.name === name) ?? null;
  }

  async load(): Promise<void> {
    const asked = ++this._asked;
    let state: PanelState<ITargetList>;
    try {
      state = arrived(await this._client.targets(), false);
    } catch (reason) {
      state = failed(this._state, asApiError(reason), Date.now());
    }
    // The newest question wins.
    if (asked === this._asked && !this._isDisposed) {
      this._state = state;
      this._changed.emit();
    }
  }

  private readonly _client: ApiClient;
  private readonly _changed = new Signal<this, void>(this);
  private _state: PanelState<ITargetList> = { kind: 'loading' };
  private _asked = 0;
  private _isDisposed = false;
}
