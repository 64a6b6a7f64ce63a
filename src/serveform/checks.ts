/** What can be said of the form's values before anything is sent. Pure. */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { IFinding, IService } from '../api';
import type { IModelChoice, IServeValues } from './offer';

export type FieldName = 'model' | 'name' | 'version' | 'endpoint' | 'transformer';

export interface INote {
  field: FieldName | null;
  severity: 'error' | 'warning' | 'info';
  message: string;
  fix: string | null;
}

const ENDPOINT_NAME = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;

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
    } else if (values.name === choice.name && choice.versions.includes(values.version.trim())) {
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
  if (values.mode === 'new') {
    const name = values.endpoint.trim();
    if (!ENDPOINT_NAME.test(name)) {
      refuse(
        'endpoint',
        trans.__('Lower case letters, digits and dashes, a letter first, at most 63.'),
        name === '' ? null : trans.__('It becomes part of a host name.')
      );
    } else if (services.some(service => service.name === name)) {
      refuse(
        'endpoint',
        trans.__('%1 is there already.', name),
        trans.__('Make it its next revision instead.')
      );
    }
  }
  return notes;
}

/** The server's findings beside the fields they belong to; what we have said ourselves is not said twice. */
export function serverNotes(findings: readonly IFinding[], isSubmitted: boolean): INote[] {
  return findings
    .map(finding => ({
      field: fieldOf(finding.field),
      severity: severityOf(finding.severity),
      message: finding.message,
      fix: finding.fix
    }))
    .filter(note => isSubmitted || note.field !== 'model' || note.severity !== 'error');
}

function fieldOf(field: string | null): FieldName | null {
  switch (field) {
    case 'name':
    case 'namespace':
      return 'endpoint';
    case 'model':
    case 'transformer':
      return field;
    default:
      return null;
  }
}

function severityOf(severity: string): INote['severity'] {
  return severity === 'error' || severity === 'warning' ? severity : 'info';
}
