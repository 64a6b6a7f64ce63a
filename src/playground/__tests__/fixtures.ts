import type { IArtifact, IService, ISignature, ITensorSpec } from '../../api';

export function column(name: string, dtype = 'FP64', extra: Partial<ITensorSpec> = {}): ITensorSpec {
  return { name, dtype, shape: [-1], min: null, max: null, categories: null, classes: null, ...extra };
}

export const tumour: ISignature = {
  layout: 'columns',
  named: true,
  inputs: [
    column('mean radius', 'FP64', { min: 7, max: 28.1 }),
    column('mean texture', 'FP64', { min: 9.7, max: 39.3 }),
    column('mean perimeter', 'FP64', { min: 43.8, max: 188.5 })
  ],
  outputs: [
    column('predict', 'BYTES', { classes: ['malignant', 'benign'] }),
    column('predict_proba', 'FP64', { shape: [-1, 2], classes: ['malignant', 'benign'] })
  ],
  input_example: [
    [17.99, 10.38, 122.8],
    [20.57, 17.77, 132.9]
  ],
  source: '2 rows of X_train'
};

export const mixed: ISignature = {
  layout: 'columns',
  named: true,
  inputs: [
    column('age', 'INT64', { min: 18, max: 90 }),
    column('income', 'FP64'),
    column('city', 'BYTES', { categories: ['Bern', 'Chur'] }),
    column('member', 'BOOL')
  ],
  outputs: [column('predict', 'INT64')],
  input_example: [[42, 1234.5, 'Bern', true]],
  source: null
};

export const image: ISignature = {
  layout: 'tensor',
  named: false,
  inputs: [column('input-0', 'FP64', { shape: [-1, 2, 2] })],
  outputs: [column('predict', 'INT64')],
  input_example: [
    [
      [0, 1],
      [2, 3]
    ]
  ],
  source: null
};

export const texts: ISignature = {
  layout: 'tensor',
  named: false,
  inputs: [column('input-0', 'BYTES')],
  outputs: [column('predict', 'BYTES')],
  input_example: ['good film', 'bad film'],
  source: null
};

export const several: ISignature = {
  layout: 'tensors',
  named: true,
  inputs: [column('pixels', 'FP32', { shape: [-1, 2, 2] }), column('age', 'INT64')],
  outputs: [
    column('class', 'FP32', { shape: [-1, 2], classes: ['cat', 'dog'] }),
    column('box', 'FP32', { shape: [-1, 4] })
  ],
  input_example: [
    [
      [
        [0, 1],
        [2, 3]
      ],
      7
    ]
  ],
  source: null
};

export function artifact(change: Partial<IArtifact> = {}): IArtifact {
  return {
    id: 12,
    key: 'artifact:12',
    type: 'kale.Model',
    name: 'tumour-model',
    version: '1.2.0',
    description: null,
    author: null,
    tags: {},
    uri: 'kale-local://sha256/00',
    digest: '00',
    size: 1000,
    framework: 'sklearn',
    class_name: 'RandomForestClassifier',
    signature: tumour,
    environment: null,
    executable: true,
    properties: {},
    state: 'LIVE',
    created_at: 1,
    ...change
  };
}

export function service(change: Partial<IService> = {}): IService {
  return {
    name: 'tumour',
    namespace: 'default',
    target: 'local',
    managed: true,
    revision: 3,
    ready_revision: 3,
    created_at: 1,
    updated_at: 2,
    model: artifact(),
    transformer: null,
    config: {},
    runtime: 'kale-built-in',
    protocol: 'v2',
    protocols: ['v1', 'v2'],
    binary: true,
    grpc_socket: null,
    signature: tumour,
    state: 'Ready',
    sentence: 'tumour answers predictions.',
    next_step: null,
    conditions: [],
    stages: ['package', 'store', 'create', 'load', 'predict', 'ready'].map(name => ({
      name,
      state: 'done',
      message: null,
      seconds: 0.1
    })),
    error: null,
    socket: '/run/f/0.sock',
    base: '',
    addresses: [],
    url: 'http://127.0.0.1:8787/serving/default/tumour',
    components: [],
    stale_since: null,
    drift: [],
    facts: [],
    paused: false,
    ...change
  };
}
