/** Where the form serves: this machine or the cluster, and which of them was chosen last. */
import { LOCAL_TARGET } from '../api';
import type { IService, ITarget } from '../api';
import type { ITargets } from '../tokens';

const MEMORY = 'kale-serve-lab:target';

/** What was chosen last where it can be used now, else where serve() goes when nothing is said. */
export function proposedTarget(targets: ITargets): string {
  let last: string | null = null;
  try {
    last = localStorage.getItem(MEMORY);
  } catch {
    // A browser may keep nothing: then nothing is remembered.
  }
  if (!targets.cluster?.available) {
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

/** The endpoints there, in the namespace that is served to; others' too. */
export function servicesAt(
  services: readonly IService[],
  target: string,
  cluster: ITarget | null
): readonly IService[] {
  return services.filter(
    service =>
      service.target === target && (target === LOCAL_TARGET || service.namespace === cluster?.namespace)
  );
}

/** Whether this account may list PodDefaults there, or nobody knows. */
export function mayListPodDefaults(cluster: ITarget): boolean {
  return !cluster.rights.some(right => right.resource.startsWith('poddefaults') && right.allowed === false);
}
