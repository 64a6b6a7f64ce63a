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
}

export interface IService {
  name: string;
  namespace: string;
  target: string;
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
  url: string;
  components: IComponent[];
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
  namespace: string;
  /** An artifact's id, or "name:version". */
  model: number | string | null;
  transformer: number | string | null;
  config: JSONObject;
  target: string;
  create_only: boolean;
  dry_run?: boolean;
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
