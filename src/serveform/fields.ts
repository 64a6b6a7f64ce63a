/** Which fields the form has as it stands: notes of the others are told below them all. Pure. */
import { LOCAL_TARGET } from '../api';
import type { FieldName, INote } from './checks';
import type { IModelChoice, IOffer, IServeValues } from './offer';

/** Those that only a cluster is asked for. */
export const CLUSTER_FIELDS: readonly FieldName[] = [
  'minReplicas',
  'maxReplicas',
  'requests',
  'requestsCpu',
  'requestsMemory',
  'limits',
  'limitsCpu',
  'limitsMemory',
  'gpus',
  'serviceAccount',
  'deploymentMode',
  'propagate'
];

/** The notes, those without a row of their own as notes of the whole form. */
export function placed(
  notes: readonly INote[],
  values: IServeValues,
  choice: IModelChoice,
  offer: IOffer
): INote[] {
  const isHidden = (field: FieldName | null): boolean =>
    field !== null &&
    ((values.target === LOCAL_TARGET && CLUSTER_FIELDS.includes(field)) ||
      (choice.variable === null && (field === 'name' || field === 'version')) ||
      (offer.transformers.length === 0 && field === 'transformer'));
  return notes.map(note => (isHidden(note.field) ? { ...note, field: null } : note));
}
