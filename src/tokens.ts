import { Token } from '@lumino/coreutils';
import type { IObservableDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';

import type {
  ApiClient,
  IAccepted,
  IArtifact,
  IMadeEnvironment,
  IService,
  IServiceKey,
  IServiceRequest,
  ITarget,
  ITargetList
} from './api';
import type { PanelState } from './model/state';

/** What the lineage follows: an artifact's id. */
export interface ISelection {
  artifact: number;
  label: string;
}

/** What the list of artifacts shows. */
export type ArtifactType = 'kale.Model' | 'kale.Transformer' | 'kale.Dataset';

/** The models that are listed, with what is needed to ask for more. */
export interface IModelList {
  items: readonly IArtifact[];
  total: number;
  hasMore: boolean;
}

/** Environments that were made on this machine. */
export interface IEnvironments {
  readonly state: PanelState<readonly IMadeEnvironment[]>;
  readonly changed: ISignal<IEnvironments, void>;
  /** Ask anew; resolves when the answer has come, whether it worked or not. */
  load(): Promise<void>;
  /** Raises `ApiError`, also while something is served from it. */
  remove(name: string): Promise<void>;
}

/** Where endpoints can be. */
export interface ITargets {
  readonly state: PanelState<ITargetList>;
  readonly changed: ISignal<ITargets, void>;
  /** Where an endpoint goes when nothing is said; this machine while that is not known. */
  readonly default: string;
  /** The cluster that is configured, be it reachable or not; null where there is none. */
  readonly cluster: ITarget | null;
  /** The target of that name; null where there is none (or none is known yet). */
  get(name: string): ITarget | null;
  /** Ask anew; resolves when the answer has come, whether it worked or not. */
  load(): Promise<void>;
}

/** What is known of artifacts and endpoints, and what can be done with them. Knows no DOM. */
export interface IKaleServeModel extends IObservableDisposable {
  /** The REST API, for calls that leave the shared state alone: predictions, logs, dry runs. */
  readonly client: ApiClient;

  /** All endpoints, by name. */
  readonly services: PanelState<readonly IService[]>;
  readonly servicesChanged: ISignal<IKaleServeModel, void>;

  /** One endpoint as last seen; null when there is none (or none is known yet). */
  service(key: IServiceKey): IService | null;

  /** Emitted for one endpoint whenever it has changed or gone (`service(key)` is then null). */
  readonly serviceChanged: ISignal<IKaleServeModel, IServiceKey>;

  /** Artifacts of `artifactType`, newest first, filtered by `search`. */
  readonly models: PanelState<IModelList>;
  readonly modelsChanged: ISignal<IKaleServeModel, void>;
  readonly search: string;
  setSearch(text: string): void;
  readonly artifactType: ArtifactType;
  setArtifactType(type: ArtifactType): void;
  loadMoreModels(): Promise<void>;

  readonly environments: IEnvironments;

  /** Taken with each snapshot. */
  readonly targets: ITargets;

  /** The artifact whose lineage is shown. */
  readonly selection: ISelection | null;
  readonly selectionChanged: ISignal<IKaleServeModel, ISelection | null>;
  select(selection: ISelection | null): void;

  /** Submit an endpoint (or the next revision of one); it is in `services` when this resolves. */
  serve(request: IServiceRequest): Promise<IAccepted>;
  deleteService(key: IServiceKey): Promise<void>;
  /** Let go of what serves and keep the endpoint. */
  pauseService(key: IServiceKey): Promise<void>;
  resumeService(key: IServiceKey): Promise<void>;
  deleteArtifact(id: number): Promise<void>;

  /** Take a snapshot now; resolves when it has come, whether it worked or not. */
  refresh(): Promise<void>;

  /** Panels say when they can be seen: the poll that guards against lost events runs only then. */
  addViewer(): void;
  removeViewer(): void;
}

export const IKaleServeModel = new Token<IKaleServeModel>(
  'kale-serve-lab:IKaleServeModel',
  'What is known of model artifacts and endpoints, live, and what can be done with them.'
);

/** The commands that the parts of the extension call of each other. */
export namespace CommandIDs {
  /** args {name, namespace, target}: the endpoint's panel in the main area. */
  export const openEndpoint = 'kale-serve:open-endpoint';
  /** args {id}: the serve form for an artifact that exists. */
  export const serveArtifact = 'kale-serve:serve-artifact';
  /** The serve form for a model of the selected notebook cell. */
  export const serveCell = 'kale-serve:serve-cell';
  /** args {name, namespace, target}: follow an endpoint's log in the main area. */
  export const showLogs = 'kale-serve:show-logs';
  /** args {id, label}: the lineage of an artifact in the main area. */
  export const showLineage = 'kale-serve:show-lineage';
  /** args {name, namespace, target}: asks, then removes the endpoint. */
  export const deleteEndpoint = 'kale-serve:delete-endpoint';
  /** args {id}: asks, then removes the artifact. */
  export const deleteArtifact = 'kale-serve:delete-artifact';
  /** args {name, label}: asks, then removes the environment. */
  export const deleteEnvironment = 'kale-serve:delete-environment';
  /** args {name, namespace, target}: the endpoint's URL into the clipboard. */
  export const copyUrl = 'kale-serve:copy-url';
  export const refresh = 'kale-serve:refresh';
  export const showSidebar = 'kale-serve:show-sidebar';
}
