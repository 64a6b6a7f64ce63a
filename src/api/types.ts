/**
 * The wire: what the server extension sends and takes, key for key.
 * Times are milliseconds since the epoch. View models live elsewhere.
 */
import type { JSONObject, JSONValue } from '@lumino/coreutils';

export interface IErrorBody {
  code: string;
  message: string;
  subject?: string | null;
  hint?: string | null;
  details?: { log_tail?: string[]; [key: string]: JSONValue | undefined };
}

export interface ITensorSpec {
  name: string;
  /** The name of the v2 protocol: FP64, INT64, BOOL, BYTES … */
  dtype: string;
  /** -1 stands for any length. */
  shape: number[];
  min: number | null;
  max: number | null;
  categories: string[] | null;
  /** Outputs of a classifier: its labels, in the order of predict_proba. */
  classes: JSONValue[] | null;
}

export interface ISignature {
  /** A table, one tensor, or several named tensors; the first dimension of a tensor is the batch. */
  layout: 'columns' | 'tensor' | 'tensors';
  /** Whether the names are the user's own (a data frame). */
  named: boolean;
  inputs: ITensorSpec[];
  outputs: ITensorSpec[];
  /** At most five rows, each in the order of `inputs`. */
  input_example: JSONValue[] | null;
  /** Where the sample came from, e.g. "5 rows of X_train". */
  source: string | null;
}

export interface IArtifact {
  id: number;
  /** e.g. "artifact:12", the key of its lineage node. */
  key: string;
  type: string;
  name: string;
  version: string | null;
  description: string | null;
  author: string | null;
  tags: { [key: string]: string };
  uri: string;
  digest: string | null;
  /** Bytes. */
  size: number | null;
  framework: string | null;
  class_name: string | null;
  signature: ISignature | null;
  environment: IEnvironment | null;
  /** Whether loading it runs code that came with it. */
  executable: boolean;
  properties: JSONObject;
  state: string;
  created_at: number;
}

export interface IEnvironment {
  python?: string;
  python_version?: string;
  platform?: string;
  packages?: { [name: string]: string };
}

export interface IArtifactPage {
  items: IArtifact[];
  next_page_token: string | null;
  total: number;
}

export interface IArtifactQuery {
  type?: string;
  name?: string;
  q?: string;
  limit?: number;
  page_token?: string;
}

export interface INextVersion {
  name: string;
  versions: string[];
  next: string;
}

export type ServiceState = 'Pending' | 'Loading' | 'Ready' | 'Updating' | 'Failed' | 'Deleting';

/** The protocols that the browser speaks. */
export type Protocol = 'v1' | 'v2';

/** All that a runtime may offer; `grpc-v1` is TensorFlow Serving's own. */
export type AnyProtocol = Protocol | 'grpc-v1' | 'grpc-v2';

export interface ICondition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason: string | null;
  message: string | null;
  last_transition_time: number | string | null;
}

export interface IStage {
  name: string;
  state: 'waiting' | 'running' | 'done' | 'failed';
  message: string | null;
  seconds: number | null;
}

export interface IComponent {
  component: string;
  revision: number;
  pid: number | null;
  state: string;
  restarts: number;
  /** What it is at or what ails it; empty where there is nothing to say. */
  message: string;
  /** On a cluster: the pod, and the node it is on. */
  pod: string | null;
  node: string | null;
}

/** What a cluster tells of a service, in words. */
export interface IFact {
  what: string;
  /** When last. */
  when: number;
  /** How often. */
  count: number;
}

export interface IService {
  name: string;
  namespace: string;
  target: string;
  /** Whether it is ours: what others have made is shown and predicted with, never changed. */
  managed: boolean;
  revision: number;
  ready_revision: number | null;
  created_at: number;
  updated_at: number;
  model: IArtifact | null;
  transformer: IArtifact | null;
  config: JSONObject;
  runtime: string;
  protocol: AnyProtocol;
  /** What its entry answers. */
  protocols: AnyProtocol[];
  /** Whether it takes v2's binary tensors. */
  binary: boolean;
  grpc_socket: string | null;
  signature: ISignature | null;
  state: ServiceState;
  /** One line that answers "is it fine?". */
  sentence: string;
  next_step: string | null;
  conditions: ICondition[];
  stages: IStage[];
  error: IErrorBody | null;
  socket: string;
  /** What stands before /v1 or /v2 on the socket. */
  base: string;
  /** The ways to it on its cluster, the likeliest first; none on this machine. */
  addresses: IAddress[];
  url: string;
  components: IComponent[];
  /** Since when its cluster has not been heard; null while what is shown is live. */
  stale_since: number | null;
  /** Paths of its object that others have changed. */
  drift: string[];
  /** Newest first. */
  facts: IFact[];
  /** Whether it waits to be resumed. */
  paused: boolean;
}

/** A way to a service of a cluster. */
export interface IAddress {
  kind: string;
  url: string;
  host: string | null;
  /** Whether a prediction came through; null where nobody has tried. */
  works: boolean | null;
  why: string | null;
}

/** A service's object on its cluster. */
export interface IServiceObject {
  applied: JSONObject | null;
  live: JSONObject | null;
  yaml: string | null;
  live_yaml: string | null;
  /** Paths that others have changed since. */
  drift: string[];
}

/** What we may do there. */
export interface IRight {
  verb: string;
  resource: string;
  /** Null where the cluster would not say. */
  allowed: boolean | null;
  needed: boolean;
  /** What does not work without it. */
  without: string;
}

/** The name of a deployment mode as the cluster's KServe writes it. */
export type DeploymentMode = string;

/** A place where endpoints can be. */
export interface ITarget {
  /** `local` or `kserve`. */
  name: string;
  title: string;
  /** Whether somebody has said which one is meant; this machine always is. */
  configured: boolean;
  available: boolean;
  /** Why it cannot be used; null where it can. */
  reason: string | null;
  hint: string | null;
  namespace: string | null;
  context: string | null;
  /** The API server, `host:port`. */
  server: string | null;
  kserve_version: string | null;
  modes: DeploymentMode[];
  /** Where models are published to; null where nothing is configured. */
  store: ({ kind: string } & JSONObject) | null;
  /** Since when the cluster has not been heard; null while what is shown is live. */
  stale_since: number | null;
  rights: IRight[];
}

export interface ITargetList {
  /** Where an endpoint goes when nothing is said. */
  default: string;
  items: ITarget[];
}

export interface IServiceList {
  /** The number of the last event that the list already contains. */
  seq: number;
  items: IService[];
}

export interface ISession {
  kind: 'notebook' | 'script' | 'pipeline';
  name: string;
  id: string;
}

export interface IServiceRequest {
  name: string | null;
  /** Null: the target's own. */
  namespace: string | null;
  /** An artifact's id, or "name:version". */
  model: number | string | null;
  transformer: number | string | null;
  config: JSONObject;
  target: string;
  create_only: boolean;
  dry_run?: boolean;
  /** Take over an object of that name which others have made. */
  overwrite?: boolean;
  /** Give the servers what this notebook's pod was given by PodDefaults. */
  propagate_configurations?: boolean;
  session?: ISession | null;
}

export interface IFinding {
  code: string;
  severity: string;
  field: string | null;
  message: string;
  fix: string | null;
}

/** An endpoint that has been asked for, with what preflight remarked. */
export interface IAccepted extends IService {
  findings: IFinding[];
}

export interface IDryRun {
  findings: IFinding[];
  service: IService | null;
  /** What would be sent; null where the target has no objects. */
  object: JSONObject | null;
  yaml: string | null;
}

/** A kind of model server, and whether it can run here. */
export interface IRuntime {
  name: string;
  /** `installed`: whether nothing has to be made before it can serve that format. */
  formats: { format: string; protocols: AnyProtocol[]; installed: boolean }[];
  /** Whether nothing has to be made before it can start with any of them. */
  installed: boolean;
  /** About how many bytes its environment takes; null where that is not known. */
  size: number | null;
  /** Why it cannot run here; null where it can. */
  reason: string | null;
  /** "table", "config", or the path of the user's own YAML. */
  source: string;
}

/** An environment that was made here for a runtime, or in place of an interpreter that has gone. */
export interface IMadeEnvironment {
  name: string;
  /** What it is for. */
  label: string;
  path: string;
  /** Bytes. */
  size: number | null;
  created_at: number;
  requirements: string[];
  packages: { [name: string]: string };
  /** Whether making it has come to its end. */
  complete: boolean;
  /** The endpoints that run in it. */
  used_by: string[];
}

export interface IStateEvent {
  seq: number;
  /** A gap says that events were lost: read all state anew. */
  kind: 'service' | 'artifact' | 'gap';
  name: string;
  namespace?: string | null;
  /** Endpoints only. */
  target?: string | null;
  /** Artifacts only. */
  id?: number | null;
  revision?: number | null;
  state?: string | null;
  deleted: boolean;
}

export interface ILineageNode {
  key: string;
  kind: 'artifact' | 'execution' | 'context';
  id: number;
  type: string;
  name: string;
  version: string | null;
  state: string | null;
  created_at: number;
  properties: JSONObject;
}

/** Edges point the way of the data. */
export interface ILineageEdge {
  from: string;
  to: string;
  kind: 'input' | 'output' | 'context';
}

export interface ILineage {
  root: string;
  nodes: ILineageNode[];
  edges: ILineageEdge[];
  truncated: boolean;
}

export interface IDaemonInfo {
  version: string;
  protocol: number;
  pid: number;
  started_at: number;
  python: string;
  data_dir: string;
  gateway: string;
}

export interface IHealth {
  version: string;
  daemon: IDaemonInfo | null;
  error: IErrorBody | null;
}

export interface IKernelInfo {
  /** What to put on a kernel's `sys.path`. */
  sdk_path: string;
  version: string;
}
