/** Endpoints by where they are, for the list. Pure. */
import { LOCAL_TARGET } from '../api';
import type { IService, ITarget } from '../api';

export interface IGroup {
  /** This machine, or a namespace of a cluster. */
  key: string;
  /** Null where nothing is known of that target, or it is this machine. */
  target: ITarget | null;
  isLocal: boolean;
  namespace: string | null;
  services: readonly IService[];
  /** Since when the cluster has not been heard; null while what is shown is live. */
  staleSince: number | null;
}

/** This machine first, then the cluster's own namespace (also where it is empty), then its others by name. */
export function groupsOf(services: readonly IService[], cluster: ITarget | null): IGroup[] {
  const byPlace = new Map<string, IService[]>();
  const put = (target: string, namespace: string | null): IService[] => {
    const key = target === LOCAL_TARGET ? LOCAL_TARGET : `${target}/${namespace ?? ''}`;
    const there = byPlace.get(key) ?? [];
    byPlace.set(key, there);
    return there;
  };
  if (cluster) {
    put(cluster.name, cluster.namespace);
  }
  for (const service of services) {
    put(service.target, service.namespace).push(service);
  }
  const own = cluster && `${cluster.name}/${cluster.namespace ?? ''}`;
  const rank = (key: string): number => (key === LOCAL_TARGET ? 0 : key === own ? 1 : 2);
  return [...byPlace]
    .sort(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b))
    .map(([key, items]) => {
      const isLocal = key === LOCAL_TARGET;
      const target = !isLocal && cluster && key.startsWith(`${cluster.name}/`) ? cluster : null;
      return {
        key,
        target,
        isLocal,
        namespace: isLocal ? null : key.slice(key.indexOf('/') + 1) || null,
        services: items,
        staleSince: isLocal ? null : staleSince(items, target)
      };
    });
}

/** Services come with each event, targets with each snapshot only: where there are services, they say it. */
function staleSince(services: readonly IService[], target: ITarget | null): number | null {
  if (services.length === 0) {
    return target?.stale_since ?? null;
  }
  const since = services.flatMap(service => service.stale_since ?? []);
  return since.length === services.length ? Math.min(...since) : null;
}

/** At most so many of them in their order; what has failed is never left out for what has not. */
export function firstOf(services: readonly IService[], most: number): readonly IService[] {
  if (services.length <= most) {
    return services;
  }
  const failed = services.filter(service => service.state === 'Failed').slice(0, most);
  const others = services.filter(service => service.state !== 'Failed').slice(0, most - failed.length);
  const shown = new Set([...failed, ...others]);
  return services.filter(service => shown.has(service));
}
