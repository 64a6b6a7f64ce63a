/** Which model servers fit the model, and over which protocols. Pure. */
import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSONObject } from '@lumino/coreutils';

import { LOCAL_TARGET } from '../api';
import type { AnyProtocol, IRuntime } from '../api';
import { BUILT_IN, frameworkName, protocolName } from '../ui/words';
import type { IServeValues } from './offer';
import { resourceConfig } from './resources';

/** More formats than that are no answer to why. */
const MOST_NAMED = 3;

export interface IRuntimeChoice {
  runtime: IRuntime;
  /** Why it cannot be chosen, in one sentence; null where it can. */
  reason: string | null;
}

/** In which order protocols are taken where nobody asks for one: a transformer's whole request is v1's. */
function usualOrder(values: Pick<IServeValues, 'transformer'>): AnyProtocol[] {
  return values.transformer === '' ? ['v2', 'v1', 'grpc-v2', 'grpc-v1'] : ['v1', 'v2', 'grpc-v2', 'grpc-v1'];
}

/** What the runtime offers for a format; nothing where it does not serve it. */
export function offered(runtime: IRuntime | null, framework: string | null): AnyProtocol[] {
  return runtime?.formats.find(found => found.format === framework)?.protocols ?? [];
}

/** All runtimes: those that fit first, the others with what stands against them. */
export function runtimeChoices(
  runtimes: readonly IRuntime[],
  values: IServeValues,
  framework: string | null,
  trans: TranslationBundle
): IRuntimeChoice[] {
  const choices = runtimes.map(runtime => ({ runtime, reason: whyNot(runtime, values, framework, trans) }));
  return [
    ...choices.filter(choice => choice.reason === null),
    ...choices.filter(choice => choice.reason !== null)
  ];
}

/** The runtime that the form would serve with; null where the daemon could not say which there are. */
export function chosenRuntime(
  runtimes: readonly IRuntime[],
  values: Pick<IServeValues, 'runtime'>,
  framework: string | null
): IRuntime | null {
  const serving = runtimes.filter(runtime => offered(runtime, framework).length > 0);
  const wanted = values.runtime || BUILT_IN;
  return serving.find(runtime => runtime.name === wanted) ?? serving[0] ?? null;
}

/** The cluster's runtime that is asked for, else the one that it takes; null while that is not known. */
export function clusterRuntime(
  runtimes: readonly IRuntime[],
  values: Pick<IServeValues, 'runtime'>,
  taken: string | null
): IRuntime | null {
  const wanted = values.runtime || taken;
  return runtimes.find(runtime => runtime.name === wanted) ?? null;
}

/** What any of them offers for a format. */
export function allOffered(runtimes: readonly IRuntime[], framework: string | null): AnyProtocol[] {
  return [...new Set(runtimes.flatMap(runtime => offered(runtime, framework)))];
}

/** The protocol that is taken where nobody asks for one. */
export function usualProtocol(
  values: Pick<IServeValues, 'transformer'>,
  protocols: readonly AnyProtocol[]
): AnyProtocol {
  const order = usualOrder(values);
  return order.find(protocol => protocols.includes(protocol)) ?? order[0];
}

/** What of the ServeConfig the form decides: only what is not taken without asking. */
export function configOf(values: IServeValues): JSONObject {
  const { runtime, protocol } = values;
  return {
    ...(values.target === LOCAL_TARGET ? {} : resourceConfig(values)),
    ...(runtime === '' ? {} : { runtime }),
    ...(protocol === '' ? {} : { protocol_version: protocol })
  };
}

function whyNot(
  runtime: IRuntime,
  values: IServeValues,
  framework: string | null,
  trans: TranslationBundle
): string | null {
  const protocols = offered(runtime, framework);
  if (protocols.length === 0) {
    const formats = runtime.formats.map(found => frameworkName(found.format));
    return formats.length > 0 && formats.length <= MOST_NAMED
      ? trans.__('Serves %1 only.', formats.join(', '))
      : trans.__('Does not serve %1.', frameworkName(framework ?? ''));
  }
  if (runtime.reason !== null) {
    return runtime.reason;
  }
  const { protocol } = values;
  return protocol === '' || protocols.includes(protocol)
    ? null
    : trans.__('Does not speak %1 for %2.', protocolName(protocol, trans), frameworkName(framework ?? ''));
}
