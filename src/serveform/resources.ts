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
  serviceAccount: '',
  deploymentMode: ''
};

/** Whether it is empty or a whole number that can be sent. */
export function isCount(text: string): boolean {
  return /^\s*\d{0,6}\s*$/.test(text);
}

/** The fields of the ServeConfig; only those that are filled in. */
export function resourceConfig(values: IResourceValues): JSONObject {
  const config: JSONObject = {};
  const put = (name: string, text: string, read: (text: string) => JSONValue = own => own): void => {
    if (text.trim() !== '') {
      config[name] = read(text.trim());
    }
  };
  put('min_replicas', values.minReplicas, Number);
  put('max_replicas', values.maxReplicas, Number);
  put('service_account', values.serviceAccount);
  put('deployment_mode', values.deploymentMode);
  const requests = amounts(values.requestsCpu, values.requestsMemory);
  const limits = amounts(values.limitsCpu, values.limitsMemory);
  return { ...config, ...(requests && { requests }), ...(limits && { limits }) };
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
    serviceAccount: shown(config['service_account']),
    deploymentMode: shown(config['deployment_mode'])
  };
}

function amounts(cpu: string, memory: string): JSONObject | null {
  const found = {
    ...(cpu.trim() && { cpu: cpu.trim() }),
    ...(memory.trim() && { memory: memory.trim() })
  };
  return Object.keys(found).length > 0 ? found : null;
}

function shown(value: JSONValue | undefined): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}
