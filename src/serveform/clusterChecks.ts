/** What is wrong by looks alone with what a cluster is asked for. Pure. */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { ITarget } from '../api';
import type { FieldName, INote } from './checks';
import type { IServeValues } from './offer';
import { amount, isCount } from './quantities';

/** Notes of the fields that only a cluster has, and of the cluster itself. */
export function clusterNotes(
  values: IServeValues,
  cluster: ITarget | null,
  trans: TranslationBundle
): INote[] {
  const notes: INote[] = [];
  const refuse = (field: FieldName, message: string, fix: string | null = null): void => {
    notes.push({ field, severity: 'error', message, fix });
  };
  if (cluster === null || !cluster.available) {
    refuse('where', cluster?.reason ?? trans.__('No cluster is configured.'), cluster?.hint ?? null);
  }
  for (const field of ['minReplicas', 'maxReplicas', 'gpus'] as const) {
    if (!isCount(values[field])) {
      refuse(field, trans.__('A whole number, or nothing.'));
    }
  }
  if (isCount(values.minReplicas) && isCount(values.maxReplicas) && values.maxReplicas.trim() !== '') {
    if (Number(values.minReplicas) > Number(values.maxReplicas)) {
      refuse('maxReplicas', trans.__('The most is below the least, which is %1.', values.minReplicas.trim()));
    }
  }
  const pairs = [
    ['requestsCpu', 'limitsCpu', trans.__('Such as 500m for half a CPU, or 2.')],
    ['requestsMemory', 'limitsMemory', trans.__('Such as 512Mi or 4Gi.')]
  ] as const;
  for (const [requests, limits, example] of pairs) {
    const numbers = [requests, limits].map(field => {
      const text = values[field].trim();
      const number = text === '' ? null : amount(text);
      if (text !== '' && number === null) {
        refuse(field, trans.__('%1 is no amount.', text), example);
      }
      return number;
    });
    const [wanted, most] = numbers;
    if (wanted !== null && most !== null && wanted > most) {
      const { [requests]: asked, [limits]: limit } = values;
      refuse(
        requests,
        trans.__('More than the limit: %1 over %2.', asked.trim(), limit.trim()),
        trans.__('Ask for %1 at most, or raise the limit.', limit.trim())
      );
    }
  }
  return notes;
}
