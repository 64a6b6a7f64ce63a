import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useLayoutEffect, useRef, useState } from 'react';

import type { IService, ITarget } from '../api';
import { Tabs } from '../ui/Tabs';
import { isTaken } from './checks';
import type { INote } from './checks';
import { ResourceRows, WhereRow } from './ClusterRows';
import { SelectRow } from './FormRow';
import type { IPartProps } from './FormRow';
import { EndpointRows, NameAndVersion, row, SampleRow } from './ModelRows';
import { movedValues, proposedValues } from './offer';
import type { IModelChoice, IOffer, IServeValues } from './offer';
import { Preflight } from './Preflight';
import { RuntimeRows } from './RuntimeRows';
import type { ITick } from './ticks';
import { YamlView } from './YamlView';
import type { IYamlViewProps } from './YamlView';

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
  object: Omit<IYamlViewProps, 'notes' | 'trans'>;
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
      <EndpointRows {...parts} services={services} isTaken={isTaken(notes)} />
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
          <RuntimeRows
            {...parts}
            runtimes={offer.clusterRuntimes}
            choice={choice}
            cluster={{ taken: props.clusterRuntime }}
          />
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
          {/* It stays: what has been opened in the form is still open when one comes back. */}
          <div hidden={tab !== 'form'}>{fields}</div>
          {tab === 'yaml' && (
            <YamlView
              {...props.object}
              notes={notes.filter(
                note => note.field !== null && (note.severity === 'error' || isTaken([note]))
              )}
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
