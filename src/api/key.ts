/** Which endpoint is meant. The same name may be on this machine and on the cluster. */

/** The target of endpoints on this machine. */
export const LOCAL_TARGET = 'local';
/** The namespace of endpoints that say none. */
export const DEFAULT_NAMESPACE = 'default';

/** An endpoint's address: where it is, its namespace and its name. */
export interface IServiceKey {
  target: string;
  namespace: string;
  name: string;
}

/** The address alone, of whatever has one. */
export function keyOf({ target, namespace, name }: IServiceKey): IServiceKey {
  return { target, namespace, name };
}

export function isSameKey(one: IServiceKey, other: IServiceKey): boolean {
  return one.name === other.name && one.namespace === other.namespace && one.target === other.target;
}

/** The address as one text, for maps and the ids of widgets. */
export function keyText({ target, namespace, name }: IServiceKey): string {
  return `${target}/${namespace}/${name}`;
}

/** The address in what may lack parts of it (an event, a command's arguments, an old layout): here, as it was once. */
export function keyFrom(name: string, parts: { target?: unknown; namespace?: unknown }): IServiceKey {
  const text = (value: unknown, otherwise: string): string =>
    typeof value === 'string' && value ? value : otherwise;
  return {
    target: text(parts.target, LOCAL_TARGET),
    namespace: text(parts.namespace, DEFAULT_NAMESPACE),
    name
  };
}
