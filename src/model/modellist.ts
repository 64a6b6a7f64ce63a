import type { IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import { asApiError } from '../api';
import type { ApiClient, IArtifact, IArtifactPage } from '../api';
import type { ArtifactType, IModelList } from '../tokens';
import { arrived, dataOf, failed } from './state';
import type { PanelState } from './state';

const PAGE = 50;
/** Reloading asks for all that is shown, up to this. */
const MOST_AT_ONCE = 200;

/** Models that Kubeflow Pipelines recorded are listed and served too. */
const WIRE_TYPES: { [type in ArtifactType]: string } = {
  'kale.Model': 'kale.Model,system.Model',
  'kale.Transformer': 'kale.Transformer',
  'kale.Dataset': 'kale.Dataset'
};

/** The searchable, paged list of artifacts of one type. */
export class ModelList implements IDisposable {
  constructor(client: ApiClient) {
    this._client = client;
  }

  get state(): PanelState<IModelList> {
    return this._state;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get search(): string {
    return this._search;
  }

  get type(): ArtifactType {
    return this._type;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    this._isDisposed = true;
    this._abort?.abort();
    Signal.clearData(this);
  }

  setSearch(text: string): void {
    if (text !== this._search) {
      this._search = text;
      void this._load(PAGE);
    }
  }

  setType(type: ArtifactType): void {
    if (type !== this._type) {
      this._type = type;
      this._set({ kind: 'loading' });
      void this._load(PAGE);
    }
  }

  /** Ask again for all that is shown. */
  reload(): Promise<void> {
    const shown = dataOf(this._state)?.items.length ?? 0;
    return this._load(Math.min(Math.max(shown, PAGE), MOST_AT_ONCE));
  }

  async loadMore(): Promise<void> {
    const before = dataOf(this._state);
    if (before && this._nextPage) {
      await this._ask(PAGE, this._nextPage, before.items);
    }
  }

  private _load(limit: number): Promise<void> {
    return this._ask(limit, null, []);
  }

  /** The newest question wins: an older one is called off. */
  private async _ask(limit: number, page: string | null, before: readonly IArtifact[]): Promise<void> {
    this._abort?.abort();
    const abort = new AbortController();
    this._abort = abort;
    const query = {
      type: WIRE_TYPES[this._type],
      q: this._search.trim(),
      limit,
      page_token: page ?? undefined
    };
    let answer: IArtifactPage;
    try {
      answer = await this._client.artifacts(query, abort.signal);
    } catch (reason) {
      if (!abort.signal.aborted && !this._isDisposed) {
        this._set(failed(this._state, asApiError(reason), Date.now()));
      }
      return;
    }
    if (abort.signal.aborted || this._isDisposed) {
      return;
    }
    this._nextPage = answer.next_page_token;
    const items = [...before, ...answer.items];
    const list = { items, total: answer.total, hasMore: answer.next_page_token !== null };
    // Nothing found is an answer to a search; nothing there at all is the empty state.
    this._set(arrived(list, items.length === 0 && this._search.trim() === ''));
  }

  private _set(state: PanelState<IModelList>): void {
    this._state = state;
    this._changed.emit();
  }

  private readonly _client: ApiClient;
  private readonly _changed = new Signal<this, void>(this);
  private _state: PanelState<IModelList> = { kind: 'loading' };
  private _search = '';
  private _type: ArtifactType = 'kale.Model';
  private _nextPage: string | null = null;
  private _abort: AbortController | null = null;
  private _isDisposed = false;
}
