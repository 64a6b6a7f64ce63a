/** What the serve form can offer, and what it proposes. Pure. */
import { LOCAL_TARGET } from '../api';
import type { AnyProtocol, IArtifact, IRuntime, IService, ISession } from '../api';
import type { IFindings, IFoundModel } from '../kernel';
import { NO_RESOURCES, resourcesOf } from './resources';
import type { IResourceValues } from './resources';

/** A model to choose: a variable of the kernel, or an artifact that has been submitted. */
export interface IModelChoice {
  key: string;
  label: string;
  /** The kernel's variable; null for an artifact. */
  variable: string | null;
  /** The artifact's id; null for a variable. */
  artifact: number | null;
  framework: string | null;
  name: string;
  version: string;
  versions: string[];
  sample: string | null;
  sampleText: string | null;
  candidates: string[];
  problem: string | null;
}

export interface ITransformerChoice {
  key: string;
  label: string;
  variable: string | null;
  id: number | null;
}

export interface IOffer {
  models: IModelChoice[];
  transformers: ITransformerChoice[];
  /** What can serve them here; empty where the daemon could not say. */
  runtimes: IRuntime[];
  /** What can serve them on the cluster; empty where there is none. */
  clusterRuntimes: IRuntime[];
  session: ISession | null;
}

export interface IServeValues extends IResourceValues {
  /** Name of the target: where it is served. */
  target: string;
  /** Whether the servers get the notebook's PodDefaults. */
  propagate: boolean;
  /** Whether what others have made or changed under that name is taken over. */
  overwrite: boolean;
  /** Key of the model's choice. */
  model: string;
  name: string;
  version: string;
  mode: 'new' | 'revision';
  /** Name of the new endpoint. */
  endpoint: string;
  /** The endpoint that gets its next revision. */
  existing: string;
  /** Variable to take the sample from; '' for none. */
  sample: string;
  /** Key of the transformer's choice; '' for none. */
  transformer: string;
  /** Name of the runtime; '' for the one that is taken without asking. */
  runtime: string;
  /** '' for the one that is taken without asking. */
  protocol: AnyProtocol | '';
}

/** What a kernel has found: models of the cell first, those that can be served before the others. */
export function offerOfFindings(found: IFindings, runtimes: IRuntime[], clusterRuntimes: IRuntime[]): IOffer {
  const rank = (model: IFoundModel): number => (model.in_cell ? 0 : 2) + (model.problem === null ? 0 : 1);
  const models = [...found.models].sort((left, right) => rank(left) - rank(right));
  return {
    models: models.map(model => ({
      key: model.variable,
      label: `${model.variable} · ${model.summary}`,
      variable: model.variable,
      artifact: null,
      framework: model.framework,
      name: model.name,
      version: model.version,
      versions: model.versions,
      sample: model.sample?.variable ?? null,
      sampleText: model.sample?.text ?? null,
      candidates: model.candidates,
      problem: model.problem
    })),
    transformers: found.transformers.map(item => ({
      key: item.variable ?? `artifact:${item.id}`,
      label:
        item.variable === null || item.variable === item.name ? item.name : `${item.variable} · ${item.name}`,
      variable: item.variable,
      id: item.id
    })),
    runtimes,
    clusterRuntimes,
    session: found.session
  };
}

/** The same form for a model that has been submitted. */
export function offerOfArtifact(
  artifact: IArtifact,
  transformers: IArtifact[],
  runtimes: IRuntime[],
  clusterRuntimes: IRuntime[]
): IOffer {
  return {
    models: [
      {
        key: artifact.key,
        label: [artifact.name, artifact.version, artifact.class_name].filter(Boolean).join(' · '),
        variable: null,
        artifact: artifact.id,
        framework: artifact.framework,
        name: artifact.name,
        version: artifact.version ?? '',
        versions: [],
        sample: null,
        sampleText: artifact.signature?.source ?? null,
        candidates: [],
        problem: null
      }
    ],
    transformers: transformers.map(transformerChoice),
    runtimes,
    clusterRuntimes,
    session: null
  };
}

/** A transformer that has been submitted, as a choice. */
export function transformerChoice(item: IArtifact): ITransformerChoice {
  const label = [item.name, item.version].filter(Boolean).join(' · ');
  return { key: item.key, label, variable: null, id: item.id };
}

/** `{name}-{namespace}` is a label of a host name, which has 63 characters. */
export const LONGEST_NAME = 63 - '-default'.length;

/** The nearest name that an endpoint can have, by the daemon's rule: `Breast Cancer (RF)` gives `breast-cancer-rf`. */
export function endpointName(text: string): string {
  const plain = text
    .normalize('NFKD')
    .replace(/[^\x20-\x7e]/g, '')
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
  const name = plain === '' ? 'model' : /^[a-z]/.test(plain) ? plain : `m-${plain}`;
  return name.slice(0, LONGEST_NAME).replace(/-+$/, '');
}

/**
 * Everything filled in for one of the models: the next revision where its endpoint is there already.
 * `services` are those of the target; only ours get revisions, the others' names are taken.
 */
export function proposedValues(
  choice: IModelChoice,
  services: readonly IService[],
  target: string
): IServeValues {
  const ours = services.filter(service => service.managed);
  const serving = ours.find(service => service.model?.name === choice.name && service.state !== 'Deleting');
  const derived = endpointName(choice.name);
  return {
    ...(serving && target !== LOCAL_TARGET ? resourcesOf(serving.config) : NO_RESOURCES),
    target,
    propagate: false,
    overwrite: false,
    model: choice.key,
    name: choice.name,
    version: choice.version,
    mode: serving ? 'revision' : 'new',
    endpoint: freeName(derived, services),
    existing: serving?.name ?? ours[0]?.name ?? '',
    sample: choice.sample ?? '',
    transformer: '',
    // The next revision is served as the one before it.
    runtime: text(serving?.config['runtime']),
    protocol: text(serving?.config['protocol_version']) as IServeValues['protocol']
  };
}

/** The same model somewhere else: what was typed of the model stays. */
export function movedValues(
  values: IServeValues,
  choice: IModelChoice,
  services: readonly IService[],
  target: string
): IServeValues {
  const { model, name, version, sample, transformer } = values;
  return { ...proposedValues(choice, services, target), model, name, version, sample, transformer };
}

/** The first of name, name-2, name-3 … that no endpoint has. */
export function freeName(name: string, services: readonly IService[]): string {
  const taken = new Set(services.map(service => service.name));
  let free = name;
  for (let count = 2; taken.has(free); count++) {
    free = `${name}-${count}`;
  }
  return free;
}

/** The name under which the form would serve. */
export function targetName(values: IServeValues): string {
  return values.mode === 'new' ? values.endpoint.trim() : values.existing;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
