import type { Event } from '@jupyterlab/services';
import { JSONExt } from '@lumino/coreutils';
import type { ReadonlyJSONValue } from '@lumino/coreutils';
import { Poll } from '@lumino/polling';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';

import { asApiError, keyFrom, keyOf, keyText } from '../api';
import type {
  ApiClient,
  ApiError,
  IAccepted,
  IService,
  IServiceKey,
  IServiceRequest,
  IStateEvent
} from '../api';
import type { ArtifactType, IKaleServeModel, IModelList, ISelection } from '../tokens';
import { Environments } from './environments';
import { react, readEmission } from './events';
import { ModelList } from './modellist';
import { arrived, failed } from './state';
import type { PanelState } from './state';
import { Targets } from './targets';

/** How often to look while a panel can be seen, in milliseconds: only a guard, the events say what changes. */
const GUARD_INTERVAL = 60_000;
/** How often to look for a Jupyter server that has gone. */
const SERVER_GONE_INTERVAL = 1_500;
/** How often to look for a daemon that has gone: asking for it starts it. */
const DAEMON_GONE_INTERVAL = 5_000;

export class KaleServeModel implements IKaleServeModel {
  constructor(options: KaleServeModel.IOptions) {
    this.client = options.client;
    this.environments = new Environments(options.client);
    this.targets = new Targets(options.client);
    this._events = options.events;
    this._models = new ModelList(options.client);
    this._models.changed.connect(this._onModelsChanged, this);
    this._events.stream.connect(this._onEmission, this);
    this._poll = new Poll({
      auto: false,
      name: 'kale-serve-lab:snapshot',
      factory: () => this.refresh(),
      frequency: { interval: GUARD_INTERVAL, backoff: false },
      // Old data is mended even while only the status bar shows it.
      standby: () => (this._viewers === 0 && this._services.kind !== 'stale' ? true : 'when-hidden')
    });
  }

  readonly client: ApiClient;
  readonly environments: Environments;
  readonly targets: Targets;

  get services(): PanelState<readonly IService[]> {
    return this._services;
  }

  get servicesChanged(): ISignal<this, void> {
    return this._servicesChanged;
  }

  get serviceChanged(): ISignal<this, IServiceKey> {
    return this._serviceChanged;
  }

  get models(): PanelState<IModelList> {
    return this._models.state;
  }

  get modelsChanged(): ISignal<this, void> {
    return this._modelsChanged;
  }

  get search(): string {
    return this._models.search;
  }

  get artifactType(): ArtifactType {
    return this._models.type;
  }

  get selection(): ISelection | null {
    return this._selection;
  }

  get selectionChanged(): ISignal<this, ISelection | null> {
    return this._selectionChanged;
  }

  get disposed(): ISignal<this, void> {
    return this._disposed;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._events.stream.disconnect(this._onEmission, this);
    this._poll.dispose();
    this._models.dispose();
    this.environments.dispose();
    this.targets.dispose();
    this._disposed.emit();
    Signal.clearData(this);
  }

  /** Look whether a daemon runs, and take a snapshot if so: opening JupyterLab alone starts none. */
  async start(): Promise<void> {
    try {
      const health = await this.client.health();
      if (health.daemon) {
        await this.refresh();
      }
    } catch (reason) {
      this._fail(asApiError(reason));
    }
  }

  service(key: IServiceKey): IService | null {
    return this._known.get(keyText(key)) ?? null;
  }

  setSearch(text: string): void {
    this._models.setSearch(text);
  }

  setArtifactType(type: ArtifactType): void {
    this._models.setType(type);
  }

  loadMoreModels(): Promise<void> {
    return this._models.loadMore();
  }

  select(selection: ISelection | null): void {
    if (selection?.artifact === this._selection?.artifact && selection?.label === this._selection?.label) {
      return;
    }
    this._selection = selection;
    this._selectionChanged.emit(selection);
  }

  async serve(request: IServiceRequest): Promise<IAccepted> {
    const accepted = await this.client.serve(request);
    this._put(accepted);
    return accepted;
  }

  async deleteService(key: IServiceKey): Promise<void> {
    await this.client.deleteService(key);
    this._remove(key);
  }

  async pauseService(key: IServiceKey): Promise<void> {
    this._put(await this.client.pause(key));
  }

  async resumeService(key: IServiceKey): Promise<void> {
    this._put(await this.client.resume(key));
  }

  async deleteArtifact(id: number): Promise<void> {
    await this.client.deleteArtifact(id);
    if (this._selection?.artifact === id) {
      this.select(null);
    }
    await this._models.reload();
  }

  async refresh(): Promise<void> {
    if (this._isDisposed) {
      return;
    }
    // Callers that come while a snapshot is on its way need a younger one than that.
    this._refreshing = this._refreshing.then(() => this._snapshot());
    await this._refreshing;
  }

  addViewer(): void {
    this._viewers += 1;
    if (this._viewers === 1 && !this._isDisposed) {
      void this._poll.refresh();
    }
  }

  removeViewer(): void {
    this._viewers = Math.max(0, this._viewers - 1);
  }

  /** JupyterLab has noticed that its server does not answer. */
  onConnectionFailure(): void {
    if (!this._isDisposed && this._services.kind !== 'stale' && this._services.kind !== 'unavailable') {
      void this.refresh();
    }
  }

  /** Show what is wrong, and look again as often as that deserves. */
  private _fail(error: ApiError): void {
    if (this._isDisposed) {
      return;
    }
    this._setServices(failed(this._services, error, Date.now()));
    this._poll.frequency = { ...this._poll.frequency, interval: retryInterval(error) };
    void this._poll.schedule();
  }

  private async _snapshot(): Promise<void> {
    const others = Promise.all([this._models.reload(), this.targets.load()]);
    try {
      const { seq, items } = await this.client.services();
      if (this._isDisposed) {
        return;
      }
      this._seen = seq;
      this._replace(items);
      this._poll.frequency = { ...this._poll.frequency, interval: GUARD_INTERVAL };
    } catch (reason) {
      this._fail(asApiError(reason));
    }
    await others;
  }

  private _replace(items: IService[]): void {
    const before = new Map(this._known);
    // What is as it was stays the same object, so that rows of it need not be drawn again.
    this._known = new Map(
      items.map(item => {
        const old = before.get(keyText(item));
        return [keyText(item), old && sameJSON(old, item) ? old : item];
      })
    );
    this._publish();
    for (const [key, item] of this._known) {
      const old = before.get(key);
      before.delete(key);
      if (old !== item) {
        this._serviceChanged.emit(keyOf(item));
      }
    }
    for (const gone of before.values()) {
      this._serviceChanged.emit(keyOf(gone));
    }
  }

  private _put(service: IService): void {
    this._known.set(keyText(service), service);
    this._publish();
    this._serviceChanged.emit(keyOf(service));
  }

  private _remove(key: IServiceKey): void {
    if (this._known.delete(keyText(key))) {
      this._publish();
      this._serviceChanged.emit(keyOf(key));
    }
  }

  private _publish(): void {
    const items = [...this._known.values()].sort(
      (a, b) => a.name.localeCompare(b.name) || keyText(a).localeCompare(keyText(b))
    );
    this._setServices(arrived<readonly IService[]>(items, items.length === 0));
  }

  private _setServices(state: PanelState<readonly IService[]>): void {
    this._services = state;
    this._servicesChanged.emit();
  }

  private _onModelsChanged(): void {
    this._modelsChanged.emit();
  }

  private _onEmission(_: Event.IManager, emission: Event.Emission): void {
    const event = readEmission(emission);
    if (!event || this._isDisposed) {
      return;
    }
    const key = keyFrom(event.name, event);
    const reaction = react(event, this._seen, event.kind === 'service' ? this.service(key) : null);
    if (reaction === 'snapshot') {
      void this._snapshotSoon();
    } else if (reaction === 'follow') {
      this._seen = event.seq;
      this._follow(event, key);
    }
  }

  private _follow(event: IStateEvent, key: IServiceKey): void {
    if (event.kind === 'artifact') {
      void this._models.reload();
    } else if (event.deleted) {
      this._remove(key);
    } else {
      void this._fetch(key);
    }
  }

  /** Many lost events make one snapshot, after the one that may be on its way. */
  private async _snapshotSoon(): Promise<void> {
    if (this._snapshotWaits) {
      return;
    }
    this._snapshotWaits = true;
    await this._refreshing;
    this._snapshotWaits = false;
    await this.refresh();
  }

  /** One request per endpoint at a time; events that come meanwhile make one more. */
  private async _fetch(key: IServiceKey): Promise<void> {
    const id = keyText(key);
    if (this._fetching.has(id)) {
      this._fetching.set(id, true);
      return;
    }
    this._fetching.set(id, false);
    try {
      do {
        this._fetching.set(id, false);
        const service = await this.client.service(key);
        if (!this._isDisposed) {
          this._put(service);
        }
      } while (this._fetching.get(id) && !this._isDisposed);
    } catch (reason) {
      const error = asApiError(reason);
      if (error.status === 404) {
        this._remove(key);
      } else {
        this._fail(error);
      }
    } finally {
      this._fetching.delete(id);
    }
  }

  private readonly _events: Event.IManager;
  private readonly _models: ModelList;
  private readonly _poll: Poll;
  private readonly _servicesChanged = new Signal<this, void>(this);
  private readonly _serviceChanged = new Signal<this, IServiceKey>(this);
  private readonly _modelsChanged = new Signal<this, void>(this);
  private readonly _selectionChanged = new Signal<this, ISelection | null>(this);
  private readonly _disposed = new Signal<this, void>(this);
  private readonly _fetching = new Map<string, boolean>();
  private _known = new Map<string, IService>();
  private _services: PanelState<readonly IService[]> = { kind: 'loading' };
  private _selection: ISelection | null = null;
  private _refreshing: Promise<void> = Promise.resolve();
  private _snapshotWaits = false;
  private _seen: number | null = null;
  private _viewers = 0;
  private _isDisposed = false;
}

export namespace KaleServeModel {
  export interface IOptions {
    client: ApiClient;
    events: Event.IManager;
  }
}

function sameJSON(a: IService, b: IService): boolean {
  return JSONExt.deepEqual(a as unknown as ReadonlyJSONValue, b as unknown as ReadonlyJSONValue);
}

function retryInterval(error: ApiError): number {
  if (error.status === 0) {
    return SERVER_GONE_INTERVAL;
  }
  return error.code === 'DaemonUnavailable' ? DAEMON_GONE_INTERVAL : GUARD_INTERVAL;
}
