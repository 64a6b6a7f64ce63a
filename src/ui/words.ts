import type { TranslationBundle } from '@jupyterlab/translation';

import type { AnyProtocol, IService, ServiceState } from '../api';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** How long ago, in words that stay right for a while. */
export function ago(then: number, now: number, trans: TranslationBundle): string {
  const passed = Math.max(0, now - then);
  if (passed < MINUTE) {
    return trans.__('just now');
  }
  if (passed < HOUR) {
    const minutes = Math.floor(passed / MINUTE);
    return trans._n('%1 minute ago', '%1 minutes ago', minutes, minutes);
  }
  if (passed < DAY) {
    const hours = Math.floor(passed / HOUR);
    return trans._n('%1 hour ago', '%1 hours ago', hours, hours);
  }
  const days = Math.floor(passed / DAY);
  return days === 1 ? trans.__('yesterday') : trans.__('%1 days ago', days);
}

/** Bytes in the unit that leaves one to three digits before the point. */
export function size(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  const step = bytes > 0 ? Math.min(units.length - 1, Math.floor(Math.log(bytes) / Math.log(1000))) : 0;
  const value = bytes / 1000 ** step;
  return `${value < 10 && step > 0 ? value.toFixed(1) : Math.round(value)} ${units[step]}`;
}

/** Seconds as people say them: tenths below ten. */
export function duration(seconds: number, trans: TranslationBundle): string {
  return trans.__('%1 s', seconds < 10 ? seconds.toFixed(1) : Math.round(seconds));
}

/** A service's state in a word; one that is paused waits for nothing but to be resumed. */
export function statusWord(service: IService, trans: TranslationBundle): string {
  return service.paused ? trans.__('Paused') : stateWord(service.state, trans);
}

/** A time of day, as short as it is clear: with the date where that is not today's. */
export function clock(when: number, now: number = Date.now()): string {
  const time: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit' };
  const isToday = new Date(when).toDateString() === new Date(now).toDateString();
  return isToday
    ? new Date(when).toLocaleTimeString(undefined, time)
    : new Date(when).toLocaleString(undefined, { ...time, month: 'short', day: 'numeric' });
}

export function stateWord(state: ServiceState, trans: TranslationBundle): string {
  switch (state) {
    case 'Pending':
      return trans.__('Waiting');
    case 'Loading':
      return trans.__('Loading');
    case 'Ready':
      return trans.__('Ready');
    case 'Updating':
      return trans.__('Updating');
    case 'Failed':
      return trans.__('Failed');
    case 'Deleting':
      return trans.__('Being removed');
  }
}

/** A stage's name, as the progress line shows it. */
export function stageWord(name: string, trans: TranslationBundle): string {
  switch (name) {
    case 'package':
      return trans.__('package');
    case 'check':
      return trans.__('check');
    case 'store':
      return trans.__('store');
    case 'environment':
      return trans.__('environment');
    case 'create':
      return trans.__('create');
    case 'schedule':
      return trans.__('schedule');
    case 'load':
      return trans.__('load');
    case 'predict':
      return trans.__('predict');
    case 'ready':
      return trans.__('ready');
    default:
      return name;
  }
}

/** Which revisions answer and which is on its way. */
export function revisionWords(service: IService, trans: TranslationBundle): string {
  const { revision, ready_revision: ready } = service;
  if (ready !== null && ready !== revision) {
    return service.state === 'Failed'
      ? trans.__('revision %1 serves, %2 failed', ready, revision)
      : trans.__('revision %1 serves, %2 loads', ready, revision);
  }
  // What others have made has none.
  return revision === 0 ? '' : trans.__('revision %1', revision);
}

/** What a framework is called by its makers. */
export function frameworkName(framework: string): string {
  return FRAMEWORKS[framework] ?? framework;
}

const FRAMEWORKS: { [key: string]: string } = {
  sklearn: 'scikit-learn',
  xgboost: 'XGBoost',
  lightgbm: 'LightGBM',
  pytorch: 'PyTorch',
  tensorflow: 'TensorFlow',
  onnx: 'ONNX',
  pmml: 'PMML',
  mlflow: 'MLflow',
  python: 'Python',
  tensorrt: 'TensorRT',
  triton: 'Triton repository'
};

export const BUILT_IN = 'kale-built-in';

/** What a model server is called by its makers; a user's own by the user's name. */
export function runtimeName(runtime: string, trans: TranslationBundle): string {
  switch (runtime) {
    case BUILT_IN:
      return trans.__('Built-in');
    case 'custom':
      return trans.__('a server of your own');
    default:
      return RUNTIMES[runtime] ?? runtime;
  }
}

const RUNTIMES: { [key: string]: string } = {
  'kserve-mlserver': 'MLServer',
  'kserve-sklearnserver': 'KServe scikit-learn server',
  'kserve-xgbserver': 'KServe XGBoost server',
  'kserve-lgbserver': 'KServe LightGBM server',
  'kserve-pmmlserver': 'KServe PMML server',
  'kserve-torchserve': 'TorchServe',
  'kserve-tritonserver': 'Triton',
  'kserve-tensorflow-serving': 'TensorFlow Serving'
};

/** What is spoken, in few words: "v1, v2, gRPC". */
export function protocolList(protocols: readonly AnyProtocol[], trans: TranslationBundle): string {
  return protocols
    .map(protocol => (protocol === 'grpc-v2' ? trans.__('gRPC') : protocolName(protocol, trans)))
    .join(', ');
}

export function protocolName(protocol: AnyProtocol, trans: TranslationBundle): string {
  switch (protocol) {
    case 'v1':
    case 'v2':
      return protocol;
    case 'grpc-v2':
      return trans.__('v2 over gRPC');
    case 'grpc-v1':
      return trans.__('TensorFlow Serving’s gRPC');
  }
}

/** An artifact's or an execution's type without its family: "kale.Model" is a model. */
export function typeWord(type: string, trans: TranslationBundle): string {
  switch (type) {
    case 'kale.Model':
    case 'system.Model':
      return trans.__('model');
    case 'kale.Transformer':
      return trans.__('transformer');
    case 'kale.Dataset':
      return trans.__('dataset');
    case 'kale.Endpoint':
      return trans.__('endpoint');
    case 'kale.Serve':
      return trans.__('serving');
    case 'kale.Session':
      return trans.__('session');
    default:
      return type.slice(type.lastIndexOf('.') + 1).toLowerCase();
  }
}
