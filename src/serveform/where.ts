/** Where the form serves: this machine or the cluster, and which of them was chosen last. */
import { LOCAL_TARGET } from '../api';
import type { IService, ITarget } from '../api';
import type { ITargets } from '../tokens';

const MEMORY = 'kale-serve-lab:target';

/** What was chosen last where that is still there, else where serve() goes when nothing is said. */
export function proposedTarget(targets: ITargets): string {
  let last: string | null = null;
  try {
    last = localStorage.getItem(MEMORY);
  } catch {
    // A browser may keep nothing: then nothing is remembered.
  }
  if (targets.cluster === null) {
    return LOCAL_TARGET;
  }
  return last === LOCAL_TARGET || last === targets.cluster.name ? last : targets.default;
}

export function rememberTarget(name: string): void {
  try {
    localStorage.setItem(MEMORY, name);
  } catch {
    // The same.
  }
}

/** The endpoints that a revision could be made of there: ours, in the namespace that is served to. */
export function servicesAt(
  services: readonly IService[],
  target: string,
  cluster: ITarget | null
): readonly IService[] {
  return services.filter(
    service =>
      service.target === target &&
      (target === LOCAL_TARGET || (service.managed && service.namespace === cluster?.namespace))
  );
}

/** Whether this account may list PodDefaults there. */
export function hasPodDefaults(cluster: ITarget): boolean {
  return cluster.rights.some(right => right.resource.startsWith('poddefaults') && right.allowed === true);
}
