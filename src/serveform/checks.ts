/** What can be said of the form's values before anything is sent. Pure. */
import type { TranslationBundle } from '@jupyterlab/translation';

import { LOCAL_TARGET } from '../api';
import type { IErrorBody, IFinding, IService } from '../api';
import { endpointName, LONGEST_NAME, targetName } from './offer';
import type { IModelChoice, IServeValues } from './offer';
import { isCount } from './resources';

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
  | 'limits'
  | 'serviceAccount'
  | 'deploymentMode'
  | 'propagate';

export interface INote {
  field: FieldName | null;
  severity: 'error' | 'warning' | 'info';
  message: string;
  fix: string | null;
}

/** What stands against the cluster itself. */
const WHERE_CODES = ['RightMissing', 'ClusterUnavailable'];

const ENDPOINT_NAME = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;

/** What is wrong by looks alone; the server's preflight knows the rest. */
export function localNotes(
  values: IServeValues,
  choice: IModelChoice,
  services: readonly IService[],
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
    } else if (services.some(service => service.name === name)) {
      refuse(
        'endpoint',
        trans.__('%1 is there already.', name),
        trans.__('Make it its next revision instead.')
      );
    }
  }
  for (const field of ['minReplicas', 'maxReplicas'] as const) {
    if (values.target !== LOCAL_TARGET && !isCount(values[field])) {
      refuse(field, trans.__('A whole number, or nothing.'));
    }
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
  const { message, hint } = error;
  return [{ field: fieldOfCode(error, values), severity: 'error', message, fix: hint ?? null }];
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
      return now.limitsCpu === then.limitsCpu && now.limitsMemory === then.limitsMemory;
    default:
      return now[field] === then[field];
  }
}

function noteOf(finding: IFinding): INote {
  return {
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
      return 'endpoint';
    case 'InvalidName':
      return error.subject === targetName(values) ? 'endpoint' : 'name';
    case 'InvalidSignature':
      return 'sample';
    case 'UnsupportedModel':
    case 'SaveFailed':
      return 'model';
    case 'ClusterUnavailable':
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
    case 'config.limits':
      return field === 'config.limits' ? 'limits' : 'requests';
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
