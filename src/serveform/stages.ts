/** The stages from the notebook to a ready endpoint, as one list. Pure. */
import type { IErrorBody, IFinding, IService, IStage } from '../api';

export const STAGES = [
  'package',
  'check',
  'store',
  'environment',
  'create',
  'schedule',
  'load',
  'predict',
  'ready'
] as const;

/** Those of the submission, which the kernel does. */
const SUBMISSION: readonly string[] = ['package', 'check', 'store'];

/** Those of a service on a cluster, from its being accepted. */
const ON_CLUSTER: readonly string[] = ['schedule'];

export interface IRun {
  /** Whether it is served to a cluster. */
  isCluster: boolean;
  /** Times of the stages that the kernel did; null until it has answered, empty for a stored artifact. */
  submitted: { name: string; seconds: number }[] | null;
  /** What the server's preflight says of a model that was only in the kernel before. */
  findings: IFinding[];
  /** The endpoint as last seen; null until it has been asked for. */
  service: IService | null;
  /** Why it ended before there was an endpoint. */
  error: IErrorBody | null;
}

export const NOTHING_DONE: IRun = {
  isCluster: false,
  submitted: null,
  findings: [],
  service: null,
  error: null
};

export interface IProgress {
  stages: IStage[];
  state: 'running' | 'ready' | 'failed';
  error: IErrorBody | null;
}

export function progressOf(run: IRun): IProgress {
  const own: { [name: string]: number } = {};
  for (const stage of run.submitted ?? []) {
    own[stage.name] = stage.seconds;
  }
  const served = new Map((run.service?.stages ?? []).map(stage => [stage.name, stage]));
  // An artifact that is there was checked long ago, and most models need no environment of their own.
  const isShown = (name: string): boolean =>
    served.has(name) ||
    (name === 'check'
      ? run.submitted === null || name in own
      : ON_CLUSTER.includes(name)
        ? run.isCluster
        : name !== 'environment');
  const stages = STAGES.filter(isShown).map((name): IStage => {
    const seen = served.get(name);
    if (seen) {
      // The kernel's part is timed by the kernel; a cluster's store is another than the one here.
      const isOwn = !(run.isCluster && name === 'store');
      return { ...seen, seconds: (isOwn ? own[name] : null) ?? seen.seconds };
    }
    const isDone =
      run.submitted !== null && SUBMISSION.includes(name) && !(run.isCluster && name === 'store');
    return { name, state: isDone ? 'done' : 'waiting', message: null, seconds: own[name] ?? null };
  });
  const error = run.error ?? failure(run.service);
  const current = stages.find(stage => stage.state !== 'done');
  if (run.error !== null && current) {
    current.state = 'failed';
  } else if (current && current.state === 'waiting' && error === null) {
    current.state = 'running';
  }
  if (error !== null) {
    return { stages, state: 'failed', error };
  }
  return { stages, state: isReady(run.service) ? 'ready' : 'running', error: null };
}

function failure(service: IService | null): IErrorBody | null {
  if (service === null || isReady(service)) {
    return null;
  }
  if (service.state === 'Failed' || service.stages.some(stage => stage.state === 'failed')) {
    return service.error ?? { code: 'Failed', message: service.sentence, hint: service.next_step };
  }
  return null;
}

function isReady(service: IService | null): boolean {
  return service !== null && service.ready_revision === service.revision && service.state === 'Ready';
}
