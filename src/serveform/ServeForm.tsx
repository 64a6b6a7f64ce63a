import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useLayoutEffect, useRef, useState } from 'react';

import type { IService, ITarget } from '../api';
import { Tabs } from '../ui/Tabs';
import { runtimeName } from '../ui/words';
import type { INote } from './checks';
import { ResourceRows, WhereRow } from './ClusterRows';
import { FormRow, SelectRow, TextOnlyRow, TextRow } from './FormRow';
import { movedValues, proposedValues } from './offer';
import type { IModelChoice, IOffer, IServeValues } from './offer';
import { Preflight } from './Preflight';
import { RuntimeRows } from './RuntimeRows';
import type { ITick } from './ticks';
import { YamlView } from './YamlView';

export interface IServeFormProps {
  offer: IOffer;
  /** The chosen model, with the versions of the name as it is typed now. */
  choice: IModelChoice;
  /** Those of the chosen target. */
  services: readonly IService[];
  servicesAt: (target: string) => readonly IService[];
  /** The cluster that is configured. */
  cluster: ITarget | null;
  /** What would be sent to it. */
  yaml: string | null;
  isAsking: boolean;
  /** The runtime that the cluster would take. */
  clusterRuntime: string | null;
  values: IServeValues;
  notes: readonly INote[];
  ticks: readonly ITick[];
  canServe: boolean;
  onChange: (values: IServeValues) => void;
  onServe: () => void;
  onCancel: () => void;
  trans: TranslationBundle;
}

/** What is to be served, under which name; everything is filled in already. */
export function ServeForm(props: IServeFormProps): JSX.Element {
  const { offer, choice, services, cluster, values, notes, canServe, onChange, trans } = props;
  const [tab, setTab] = useState<'form' | 'yaml'>('form');
  const onCluster = cluster !== null && values.target === cluster.name ? cluster : null;
  const form = useRef<HTMLFormElement>(null);
  useLayoutEffect(() => {
    // The dialog has opened without it; after a refusal the keyboard belongs where something is to be mended.
    // In the next frame: the dialog's body is drawn before it is attached, and what is not attached takes no focus.
    const frame = requestAnimationFrame(() => {
      const find = (selector: string) => form.current?.querySelector<HTMLElement>(selector);
      (find('[aria-invalid="true"]:is(select, input)') ?? find('select, input'))?.focus();
    });
    return () => cancelAnimationFrame(frame);
  }, []);
  const set = (change: Partial<IServeValues>): void => onChange({ ...values, ...change });
  const parts: IPartProps = { values, notes, set, trans };
  const fields = (
    <>
      <SelectRow
        label={trans.__('Model')}
        field="model"
        notes={notes}
        value={choice.key}
        onChange={key => {
          const next = offer.models.find(model => model.key === key);
          if (next) {
            onChange(proposedValues(next, services, values.target));
          }
        }}
        options={offer.models.map(model => ({ value: model.key, label: model.label }))}
      />
      {choice.variable !== null && <NameAndVersion {...parts} choice={choice} />}
      <EndpointRows {...parts} services={services} />
      {cluster !== null && (
        <WhereRow
          cluster={cluster}
          target={values.target}
          notes={notes}
          onChoose={target => onChange(movedValues(values, choice, props.servicesAt(target), target))}
          trans={trans}
        />
      )}
      <SampleRow {...parts} choice={choice} />
      {offer.transformers.length > 0 && (
        <SelectRow
          label={trans.__('Transformer')}
          {...row(parts, 'transformer')}
          options={[
            { value: '', label: trans.__('none') },
            ...offer.transformers.map(item => ({ value: item.key, label: item.label }))
          ]}
        />
      )}
      {onCluster === null ? (
        <RuntimeRows
          {...parts}
          runtimes={offer.runtimes}
          choice={choice}
          hint={
            cluster === null
              ? trans.__('To serve on a Kubernetes cluster, say which: kale-serve cluster set --context NAME')
              : null
          }
        />
      ) : (
        <>
          <TextOnlyRow label={trans.__('Runtime')} field="runtime" notes={notes}>
            {props.clusterRuntime === null
              ? trans.__('the one of the cluster that fits')
              : runtimeName(props.clusterRuntime, trans)}
          </TextOnlyRow>
          <ResourceRows {...parts} cluster={onCluster} />
        </>
      )}
    </>
  );
  return (
    <form
      ref={form}
      className="jp-KaleServe-form"
      aria-label={trans.__('Serve this model')}
      onSubmit={event => {
        event.preventDefault();
        if (canServe) {
          props.onServe();
        }
      }}
    >
      {onCluster === null ? (
        fields
      ) : (
        <Tabs
          label={trans.__('The form, or what it sends')}
          tabs={[
            { id: 'form', label: trans.__('Form') },
            { id: 'yaml', label: trans.__('YAML') }
          ]}
          selected={tab}
          onSelect={setTab}
        >
          {tab === 'form' ? (
            fields
          ) : (
            <YamlView
              yaml={props.yaml}
              isAsking={props.isAsking}
              notes={notes.filter(note => note.severity === 'error' && note.field !== null)}
              trans={trans}
            />
          )}
        </Tabs>
      )}
      <Preflight ticks={props.ticks} notes={notes} trans={trans} />
      <div className="jp-KaleServe-buttons">
        <button type="button" className="jp-KaleServe-button" onClick={props.onCancel}>
          {trans.__('Cancel')}
        </button>
        <button type="submit" className="jp-KaleServe-button jp-mod-accept" disabled={!canServe}>
          {trans.__('Serve')}
        </button>
      </div>
    </form>
  );
}

interface IPartProps {
  values: IServeValues;
  notes: readonly INote[];
  set: (change: Partial<IServeValues>) => void;
  trans: TranslationBundle;
}

/** What a row has from the value of its own name. */
function row(
  { values, notes, set }: IPartProps,
  field: 'name' | 'version' | 'endpoint' | 'sample' | 'transformer'
): Pick<React.ComponentProps<typeof TextRow>, 'field' | 'notes' | 'value' | 'onChange'> {
  return { field, notes, value: values[field], onChange: value => set({ [field]: value }) };
}

function NameAndVersion({ choice, ...parts }: IPartProps & { choice: IModelChoice }): JSX.Element {
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

function EndpointRows({ services, ...parts }: IPartProps & { services: readonly IService[] }): JSX.Element {
  const { values, notes, set, trans } = parts;
  const modes: [IServeValues['mode'], string][] = [
    ['new', trans.__('a new one')],
    ['revision', trans.__('the next revision of one')]
  ];
  return (
    <>
      {services.length > 0 && (
        <FormRow label={trans.__('Endpoint')} isGroup>
          {id => (
            <div className="jp-KaleServe-radios">
              {modes.map(([mode, label]) => (
                <label key={mode}>
                  <input
                    type="radio"
                    name={id}
                    checked={values.mode === mode}
                    onChange={() => set({ mode })}
                  />
                  {label}
                </label>
              ))}
            </div>
          )}
        </FormRow>
      )}
      {values.mode === 'new' ? (
        <TextRow label={trans.__('Endpoint name')} {...row(parts, 'endpoint')} />
      ) : (
        <SelectRow
          label={trans.__('Next revision of')}
          field="endpoint"
          notes={notes}
          value={values.existing}
          onChange={existing => set({ existing })}
          options={services.map(service => ({
            value: service.name,
            label: trans.__('%1 (revision %2 now)', service.name, service.revision)
          }))}
        />
      )}
    </>
  );
}

function SampleRow({ choice, ...parts }: IPartProps & { choice: IModelChoice }): JSX.Element {
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
