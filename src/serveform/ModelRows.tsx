import React from 'react';

import type { IService } from '../api';
import { CheckRow, FormRow, SelectRow, TextOnlyRow, TextRow } from './FormRow';
import type { IPartProps } from './FormRow';
import type { IModelChoice, IServeValues } from './offer';

/** What a row has from the value of its own name. */
export function row(
  { values, notes, set }: IPartProps,
  field: 'name' | 'version' | 'endpoint' | 'sample' | 'transformer'
): Pick<React.ComponentProps<typeof TextRow>, 'field' | 'notes' | 'value' | 'onChange'> {
  return { field, notes, value: values[field], onChange: value => set({ [field]: value }) };
}

export function NameAndVersion({ choice, ...parts }: IPartProps & { choice: IModelChoice }): JSX.Element {
  const { values, trans } = parts;
  const existing = values.name.trim() === choice.name ? choice.versions : [];
  return (
    <>
      <TextRow label={trans.__('Name')} {...row(parts, 'name')} />
      <TextRow
        label={trans.__('Version')}
        {...row(parts, 'version')}
        isShort
        hint={
          existing.length > 0
            ? trans._n('%2 exists', '%2 exist', existing.length, existing.slice(0, 3).join(', '))
            : null
        }
      />
    </>
  );
}

/** A new endpoint or the next revision of one of `services`; others' endpoints get none. */
export function EndpointRows({
  services,
  isTaken,
  ...parts
}: IPartProps & { services: readonly IService[]; isTaken: boolean }): JSX.Element {
  const { values, notes, set, trans } = parts;
  const ours = services.filter(service => service.managed);
  const modes: [IServeValues['mode'], string][] = [
    ['new', trans.__('a new one')],
    ['revision', trans.__('the next revision of one')]
  ];
  return (
    <>
      {ours.length > 0 && (
        <FormRow label={trans.__('Endpoint')} isGroup>
          {id => (
            <div className="jp-KaleServe-radios">
              {modes.map(([mode, label]) => (
                <label key={mode}>
                  <input
                    type="radio"
                    name={id}
                    checked={values.mode === mode}
                    onChange={() => set({ mode, overwrite: false })}
                  />
                  {label}
                </label>
              ))}
            </div>
          )}
        </FormRow>
      )}
      {values.mode === 'new' ? (
        <TextRow
          label={trans.__('Endpoint name')}
          {...row(parts, 'endpoint')}
          onChange={endpoint => set({ endpoint, overwrite: false })}
        />
      ) : (
        <SelectRow
          label={trans.__('Next revision of')}
          field="endpoint"
          notes={notes}
          value={values.existing}
          onChange={existing => set({ existing, overwrite: false })}
          options={ours.map(service => ({
            value: service.name,
            label: trans.__('%1 (revision %2 now)', service.name, service.revision)
          }))}
        />
      )}
      {(isTaken || values.overwrite) && (
        <CheckRow
          label=""
          isOn={values.overwrite}
          onChange={overwrite => set({ overwrite })}
          text={trans.__('Take it over, with what others have made or changed of it')}
        />
      )}
    </>
  );
}

export function SampleRow({ choice, ...parts }: IPartProps & { choice: IModelChoice }): JSX.Element {
  const { values, notes, trans } = parts;
  if (choice.candidates.length === 0) {
    return (
      <TextOnlyRow label={trans.__('Sample')} field="sample" notes={notes}>
        {choice.sampleText ?? (
          <span className="jp-KaleServe-hint">{trans.__('none found; the form will be empty')}</span>
        )}
      </TextOnlyRow>
    );
  }
  return (
    <SelectRow
      label={trans.__('Sample')}
      {...row(parts, 'sample')}
      isShort
      options={[
        ...choice.candidates.map(variable => ({ value: variable, label: variable })),
        { value: '', label: trans.__('none') }
      ]}
      hint={values.sample === choice.sample ? choice.sampleText : null}
    />
  );
}
