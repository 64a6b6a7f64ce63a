import type { IArtifact, ILineage, ILineageNode, IService, ITarget } from '../api';

/** A model artifact as the server sends it. */
export function artifact(id: number, change: Partial<IArtifact> = {}): IArtifact {
  return {
    id,
    key: `artifact:${id}`,
    type: 'kale.Model',
    name: 'tumour-model',
    version: '1.0.0',
    description: null,
    author: null,
    tags: {},
    uri: 'kale-local://sha256/00',
    digest: '00',
    size: 184_320,
    framework: 'sklearn',
    class_name: 'RandomForestClassifier',
    signature: null,
    environment: null,
    executable: true,
    properties: {},
    state: 'LIVE',
    created_at: 0,
    ...change
  };
}

/** An endpoint as the server sends it. */
export function service(name: string, change: Partial<IService> = {}): IService {
  return {
    name,
    namespace: 'default',
    target: 'local',
    managed: true,
    revision: 1,
    ready_revision: 1,
    created_at: 0,
    updated_at: 0,
    model: artifact(12),
    transformer: null,
    config: {},
    runtime: 'kale-built-in',
    protocol: 'v2',
    protocols: ['v1', 'v2'],
    binary: true,
    grpc_socket: null,
    signature: null,
    state: 'Ready',
    sentence: 'Ready.',
    next_step: null,
    conditions: [],
    stages: [],
    error: null,
    socket: '',
    base: '',
    addresses: [],
    url: `http://127.0.0.1:1/serving/default/${name}`,
    components: [],
    stale_since: null,
    drift: [],
    facts: [],
    paused: false,
    ...change
  };
}

/** A target as the server sends it: this machine, or a cluster that can be used. */
export function target(name = 'local', change: Partial<ITarget> = {}): ITarget {
  const isHere = name === 'local';
  return {
    name,
    title: isHere ? 'This machine' : 'kubeflow-user / KServe 0.20',
    configured: true,
    available: true,
    reason: null,
    hint: null,
    namespace: isHere ? 'default' : 'kubeflow-user',
    context: isHere ? null : 'team',
    server: isHere ? null : '10.0.0.1:6443',
    kserve_version: isHere ? null : '0.20',
    modes: isHere ? [] : ['Standard', 'Knative'],
    store: isHere ? null : { kind: 's3' },
    stale_since: null,
    rights: [],
    ...change
  };
}

export function node(key: string, change: Partial<ILineageNode> = {}): ILineageNode {
  const [kind, id] = key.split(':');
  return {
    key,
    kind: kind as ILineageNode['kind'],
    id: Number(id),
    type: 'kale.Model',
    name: key,
    version: null,
    state: 'LIVE',
    created_at: 0,
    properties: {},
    ...change
  };
}

/** A lineage from its edges, "a > b". */
export function lineage(root: string, ...edges: [string, string][]): ILineage {
  const keys = [...new Set([root, ...edges.flat()])];
  return {
    root,
    nodes: keys.map(key => node(key)),
    edges: edges.map(([from, to]) => ({ from, to, kind: 'input' as const })),
    truncated: false
  };
}
