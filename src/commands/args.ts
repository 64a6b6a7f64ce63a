import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { DEFAULT_NAMESPACE, LOCAL_TARGET, keyFrom } from '../api/key';
import type { IServiceKey } from '../api/key';

/** `describedBy` of the commands on an endpoint. */
export const ENDPOINT_ARGS = {
  args: {
    type: 'object',
    properties: {
      name: { type: 'string', description: 'The name of the endpoint' },
      namespace: { type: 'string', description: 'Its namespace', default: DEFAULT_NAMESPACE },
      target: { type: 'string', description: 'Where it is: "local" or "kserve"', default: LOCAL_TARGET }
    },
    required: ['name']
  }
};

/** `describedBy` of the commands on an artifact. */
export const ARTIFACT_ARGS = {
  args: {
    type: 'object',
    properties: {
      id: { type: 'number', description: 'The id of the artifact' },
      label: { type: 'string', description: 'What to call it' }
    },
    required: ['id']
  }
};

/** `describedBy` of the commands on an environment. */
export const ENVIRONMENT_ARGS = {
  args: {
    type: 'object',
    properties: {
      name: { type: 'string', description: 'The name of the environment' },
      label: { type: 'string', description: 'What it is for' }
    },
    required: ['name']
  }
};

export const NO_ARGS = { args: { type: 'object', properties: {} } };

/** The endpoint that a command is about; null where the arguments name none. */
export function endpointOf(args: ReadonlyPartialJSONObject): IServiceKey | null {
  const { name } = args;
  return typeof name === 'string' && name ? keyFrom(name, args) : null;
}

export interface IArtifactArgs {
  id: number;
  label: string;
}

/** The artifact that a command is about; null where the arguments name none. */
export function artifactOf(args: ReadonlyPartialJSONObject): IArtifactArgs | null {
  const { id, label } = args;
  if (typeof id !== 'number') {
    return null;
  }
  return { id, label: typeof label === 'string' && label ? label : String(id) };
}

export interface IEnvironmentArgs {
  name: string;
  label: string;
}

/** The environment that a command is about; null where the arguments name none. */
export function environmentOf(args: ReadonlyPartialJSONObject): IEnvironmentArgs | null {
  const { name, label } = args;
  if (typeof name !== 'string' || !name) {
    return null;
  }
  return { name, label: typeof label === 'string' && label ? label : name };
}
