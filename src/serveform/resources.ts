/** What only a cluster is asked for: replicas, resources, account and mode. Pure. */
import type { JSONObject, JSONValue } from '@lumino/coreutils';

/** As typed; '' leaves it to the cluster. */
export interface IResourceValues {
  minReplicas: string;
  maxReplicas: string;
  requestsCpu: string;
  requestsMemory: string;
  limitsCpu: string;
  limitsMemory: string;
  /** Of a device a pod gets what its limit says: there is no request of its own. */
  gpus: string;
  serviceAccount: string;
  deploymentMode: string;
}

export const NO_RESOURCES: IResourceValues = {
  minReplicas: '',
  maxReplicas: '',
  requestsCpu: '',
  requestsMemory: '',
  limitsCpu: '',
  limitsMemory: '',
  gpus: '',
  serviceAccount: '',
  deploymentMode: ''
};

const GPU = 'nvidia.com/gpu';

/** The fields of the ServeConfig; only those that are filled in. */
export function resourceConfig(values: IResourceValues): JSONObject {
  const counts = filled({ min_replicas: values.minReplicas, max_replicas: values.maxReplicas });
  const requests = filled({ cpu: values.requestsCpu, memory: values.requestsMemory });
  const limits = filled({ cpu: values.limitsCpu, memory: values.limitsMemory, [GPU]: values.gpus });
  return {
    ...Object.fromEntries(Object.entries(counts).map(([name, text]) => [name, Number(text)])),
    ...filled({ service_account: values.serviceAccount, deployment_mode: values.deploymentMode }),
    ...(Object.keys(requests).length > 0 && { requests }),
    ...(Object.keys(limits).length > 0 && { limits })
  };
}

/** The fields as an earlier revision had them: the next one is served like it. */
export function resourcesOf(config: JSONObject): IResourceValues {
  const of = (value: JSONValue | undefined, name: string): string =>
    value !== null && typeof value === 'object' && !Array.isArray(value) ? shown(value[name]) : '';
  return {
    minReplicas: shown(config['min_replicas']),
    maxReplicas: shown(config['max_replicas']),
    requestsCpu: of(config['requests'], 'cpu'),
    requestsMemory: of(config['requests'], 'memory'),
    limitsCpu: of(config['limits'], 'cpu'),
    limitsMemory: of(config['limits'], 'memory'),
    gpus: of(config['limits'], GPU),
    serviceAccount: shown(config['service_account']),
    deploymentMode: shown(config['deployment_mode'])
  };
}

function filled(texts: { [name: string]: string }): { [name: string]: string } {
  const trimmed = Object.entries(texts).map(([name, text]) => [name, text.trim()]);
  return Object.fromEntries(trimmed.filter(([, text]) => text !== ''));
}

function shown(value: JSONValue | undefined): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}
