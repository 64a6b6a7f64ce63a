/** What can be said of the form's values before anything is sent. Pure. */
import type { TranslationBundle } from '@jupyterlab/translation';

import { LOCAL_TARGET } from '../api';
import type { IErrorBody, IFinding, IService, ITarget } from '../api';
import { clusterNotes } from './clusterChecks';
import { endpointName, LONGEST_NAME, targetName } from './offer';
import type { IModelChoice, IServeValues } from './offer';

export type FieldName =
  | 'model'
  | 'name'
  | 'version'
  | 'endpoint'
  | 'where'
  | 'sample'
  | 'transformer'
  | 'runtime'
  | 'protocol'
  | 'minReplicas'
  | 'maxReplicas'
  | 'requests'
  | 'requestsCpu'
  | 'requestsMemory'
  | 'limits'
  | 'limitsCpu'
  | 'limitsMemory'
  | 'gpus'
  | 'serviceAccount'
  | 'deploymentMode'
  | 'propagate';

export interface INote {
  /** The finding's or error's code, where the server has said it. */
  code?: string;
  field: FieldName | null;
  severity: 'error' | 'warning' | 'info';
  message: string;
  fix: string | null;
}

/** What stands against the cluster itself. */
const WHERE_CODES = ['RightMissing', 'ClusterUnavailable', 'Unauthorized'];

/** What taking over mends: a name that is somebody else's, fields that others have changed. */
const TAKEN_CODES = ['NameTaken', 'Conflict', 'Drift'];

const ENDPOINT_NAME = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;

/** What is wrong by looks alone; the server's preflight knows the rest. */
export function localNotes(
  values: IServeValues,
  choice: IModelChoice,
  services: readonly IService[],
  cluster: ITarget | null,
  trans: TranslationBundle
): INote[] {
  const notes: INote[] = [];
  const refuse = (field: FieldName, message: string, fix: string | null = null): void => {
    notes.push({ field, severity: 'error', message, fix });
  };
  if (choice.problem !== null) {
    refuse('model', choice.problem);
  }
  if (choice.variable !== null) {
    if (values.name.trim() === '') {
      refuse('name', trans.__('The model needs a name.'));
    }
    if (values.version.trim() === '') {
      refuse('version', trans.__('The model needs a version.'));
    } else if (values.name.trim() === choice.name && choice.versions.includes(values.version.trim())) {
      notes.push({
        field: 'version',
        severity: 'warning',
        message: trans.__(
          '%1 exists: it is kept only if nothing in the model has changed.',
          values.version.trim()
        ),
        fix: choice.version === values.version.trim() ? null : trans.__('%1 is free.', choice.version)
      });
    }
  }
  if (choice.variable !== null && values.sample === '') {
    notes.push({
      field: 'sample',
      severity: 'warning',
      message: trans.__('Without a sample, ready only means that the model has loaded.'),
      fix: null
    });
  }
  if (values.mode === 'new') {
    const name = values.endpoint.trim();
    if (!ENDPOINT_NAME.test(name) || name.length > LONGEST_NAME) {
      refuse(
        'endpoint',
        trans.__(
          'Small letters, digits and hyphens, a letter first, no hyphen last, at most %1.',
          LONGEST_NAME
        ),
        name === '' ? null : trans.__('Try %1.', endpointName(name))
      );
    } else if (services.some(service => service.managed && service.name === name)) {
      refuse(
        'endpoint',
        trans.__('%1 is there already.', name),
        trans.__('Make it its next revision instead.')
      );
    }
  }
  if (values.target !== LOCAL_TARGET) {
    notes.push(...clusterNotes(values, cluster, trans));
  }
  return notes;
}

/** The server's findings beside the fields they belong to; what we have said ourselves is not said twice. */
export function serverNotes(findings: readonly IFinding[], isSubmitted: boolean): INote[] {
  return findings
    .map(noteOf)
    .filter(note => isSubmitted || note.field !== 'model' || note.severity !== 'error');
}

/** Why serving was refused, beside the fields that can mend it; a note's field is null where none can. */
export function refusalNotes(error: IErrorBody, values: IServeValues): INote[] {
  const findings = error.details?.['findings'];
  const errors = Array.isArray(findings)
    ? (findings as unknown as IFinding[]).filter(finding => finding.severity === 'error')
    : [];
  if (errors.length > 0) {
    return errors.map(noteOf);
  }
  const { code, message, hint } = error;
  return [{ code, field: fieldOfCode(error, values), severity: 'error', message, fix: hint ?? null }];
}

/** What others have changed of the endpoint's object on the cluster. */
export function driftNote(name: string, drift: readonly string[], trans: TranslationBundle): INote {
  return {
    code: 'Drift',
    field: 'endpoint',
    severity: 'warning',
    message: trans.__('Others have changed %1 on the cluster: %2.', name, drift.join(', ')),
    fix: trans.__('The cluster refuses what would undo that, unless you take it back.')
  };
}

/** Whether taking over would mend something. */
export function isTaken(notes: readonly INote[]): boolean {
  return notes.some(note => note.code !== undefined && TAKEN_CODES.includes(note.code));
}

/** What was to be refused for the name's sake is only told once it is to be taken over. */
export function withOverwrite(notes: readonly INote[], overwrite: boolean): INote[] {
  return notes.map(note =>
    overwrite && isTaken([note]) ? { ...note, severity: 'warning', fix: null } : note
  );
}

/** Whether the field still holds what it held then. */
export function isSame(field: FieldName | null, now: IServeValues, then: IServeValues): boolean {
  switch (field) {
    case null:
      return true;
    case 'endpoint':
      return targetName(now) === targetName(then) && now.mode === then.mode;
    case 'where':
      return now.target === then.target;
    case 'requests':
      return now.requestsCpu === then.requestsCpu && now.requestsMemory === then.requestsMemory;
    case 'limits':
      return (
        now.limitsCpu === then.limitsCpu && now.limitsMemory === then.limitsMemory && now.gpus === then.gpus
      );
    default:
      return now[field] === then[field];
  }
}

function noteOf(finding: IFinding): INote {
  return {
    code: finding.code,
    field:
      finding.code === 'NoSample'
        ? 'sample'
        : WHERE_CODES.includes(finding.code)
          ? 'where'
          : fieldOf(finding.field),
    severity: severityOf(finding.severity),
    message: finding.message,
    fix: finding.fix
  };
}

function fieldOfCode(error: IErrorBody, values: IServeValues): FieldName | null {
  switch (error.code) {
    case 'VersionExists':
      return 'version';
    case 'NameTaken':
    case 'Conflict':
      return 'endpoint';
    case 'InvalidName':
      return error.subject === targetName(values) ? 'endpoint' : 'name';
    case 'InvalidSignature':
      return 'sample';
    case 'UnsupportedModel':
    case 'SaveFailed':
      return 'model';
    case 'ClusterUnavailable':
    case 'Unauthorized':
      return 'where';
    case 'EnvironmentFailed':
    case 'ProgramMissing':
      return 'runtime';
    default:
      return null;
  }
}

function fieldOf(field: string | null): FieldName | null {
  switch (field) {
    case 'name':
    case 'namespace':
      return 'endpoint';
    case 'model':
    case 'transformer':
    case 'sample':
      return field;
    case 'environment':
    case 'config.runtime':
      return 'runtime';
    case 'config.protocol_version':
      return 'protocol';
    case 'config.min_replicas':
      return 'minReplicas';
    case 'config.max_replicas':
      return 'maxReplicas';
    case 'config.requests':
    case 'config.predictor.requests':
      return 'requests';
    case 'config.limits':
    case 'config.predictor.limits':
      return 'limits';
    case 'config.service_account':
      return 'serviceAccount';
    case 'config.deployment_mode':
      return 'deploymentMode';
    case 'propagate_configurations':
      return 'propagate';
    case 'target':
      return 'where';
    default:
      return null;
  }
}

function severityOf(severity: string): INote['severity'] {
  return severity === 'error' || severity === 'warning' ? severity : 'info';
}
