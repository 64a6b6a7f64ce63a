import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useId, useState } from 'react';

import { LOCAL_TARGET } from '../api';
import type { ITarget } from '../api';
import type { FieldName, INote } from './checks';
import { CLUSTER_FIELDS } from './fields';
import { CheckRow, FormRow, Notes, SelectRow, TextRow } from './FormRow';
import type { IPartProps } from './FormRow';
import { PairRow } from './PairRow';
import type { IPairField } from './PairRow';
import type { IServeValues } from './offer';
import type { IResourceValues } from './resources';
import { mayListPodDefaults } from './where';

export interface IWhereRowProps {
  cluster: ITarget;
  target: string;
  notes: readonly INote[];
  onChoose: (target: string) => void;
  trans: TranslationBundle;
}

/** This machine, or the cluster that is configured; why where it cannot be chosen. */
export function WhereRow({ cluster, target, notes, onChoose, trans }: IWhereRowProps): JSX.Element {
  const hint = useId();
  const isThere = target === cluster.name;
  const choices = [
    { name: LOCAL_TARGET, label: trans.__('this machine'), isAway: false },
    { name: cluster.name, label: cluster.title, isAway: !cluster.available }
  ];
  // Where it is chosen already, what keeps it from working is said as what blocks the button.
  const words = cluster.available
    ? isThere && placeWords(cluster, trans)
    : !isThere && [cluster.reason, cluster.hint].filter(Boolean).join(' ');
  return (
    <FormRow label={trans.__('Where')} field="where" notes={notes} isGroup>
      {id => (
        <>
          <div className="jp-KaleServe-radios">
            {choices.map(({ name, label, isAway }) => (
              <label key={name} data-disabled={isAway}>
                <input
                  type="radio"
                  name={id}
                  checked={target === name}
                  disabled={isAway && target !== name}
                  aria-describedby={name === cluster.name && words ? hint : undefined}
                  onChange={() => onChoose(name)}
                />
                {label}
              </label>
            ))}
          </div>
          {words && (
            <span id={hint} className="jp-KaleServe-hint jp-KaleServe-line">
              {words}
            </span>
          )}
        </>
      )}
    </FormRow>
  );
}

/** What only a cluster is asked for; it decides by itself what is left empty. */
export function ResourceRows({ cluster, ...parts }: IPartProps & { cluster: ITarget }): JSX.Element {
  const { values, notes, set, trans } = parts;
  const id = useId();
  const ours = notes.filter(note => note.field !== null && CLUSTER_FIELDS.includes(note.field));
  const isBroken = ours.some(note => note.severity === 'error');
  const [isOpen, setOpen] = useState(isBroken);
  useEffect(() => {
    // What keeps the model from being served is never hidden, and does not close under the hands that mend it.
    setOpen(before => before || isBroken);
  }, [isBroken]);
  const pair = (field: FieldName & keyof IResourceValues, label: string, name: string): IPairField => ({
    field,
    label,
    name,
    value: values[field],
    onChange: value => set({ [field]: value })
  });
  const requested = trans.__('requested');
  const limit = trans.__('limit');
  const mayList = mayListPodDefaults(cluster);
  return (
    <>
      <div className="jp-KaleServe-row">
        <button
          type="button"
          className="jp-KaleServe-disclosure"
          aria-expanded={isOpen}
          aria-controls={id}
          onClick={() => setOpen(!isOpen)}
        >
          {trans.__('Resources')}
        </button>
        <span className="jp-KaleServe-control">
          <span className="jp-KaleServe-hint">
            {isOpen ? trans.__('what is empty, the cluster decides') : resourceWords(values, trans)}
          </span>
          {!isOpen && ours.length > 0 && <Notes notes={ours} />}
        </span>
      </div>
      <div id={id} hidden={!isOpen} className="jp-KaleServe-advanced">
        {isOpen && (
          <>
            <PairRow
              label={trans.__('Replicas')}
              notes={notes}
              fields={[
                pair('minReplicas', trans.__('least'), trans.__('Replicas, least')),
                pair('maxReplicas', trans.__('most'), trans.__('Replicas, most'))
              ]}
            />
            <PairRow
              label={trans.__('CPU')}
              notes={notes}
              fields={[
                pair('requestsCpu', requested, trans.__('CPU requested')),
                pair('limitsCpu', limit, trans.__('CPU limit'))
              ]}
            />
            <PairRow
              label={trans.__('Memory')}
              notes={notes}
              fields={[
                pair('requestsMemory', requested, trans.__('Memory requested')),
                pair('limitsMemory', limit, trans.__('Memory limit'))
              ]}
              common={['requests', 'limits']}
            />
            <TextRow
              label={trans.__('GPUs')}
              field="gpus"
              notes={notes}
              isShort
              value={values.gpus}
              onChange={gpus => set({ gpus })}
              hint={trans.__('NVIDIA’s, for each replica')}
            />
            <TextRow
              label={trans.__('Service account')}
              field="serviceAccount"
              notes={notes}
              isShort
              value={values.serviceAccount}
              onChange={serviceAccount => set({ serviceAccount })}
            />
            {cluster.modes.length > 0 && (
              <SelectRow
                label={trans.__('Mode')}
                field="deploymentMode"
                notes={notes}
                isShort
                value={values.deploymentMode}
                onChange={deploymentMode => set({ deploymentMode })}
                options={[
                  { value: '', label: trans.__('the cluster’s own') },
                  ...cluster.modes.map(mode => ({ value: mode, label: mode }))
                ]}
              />
            )}
            <CheckRow
              label={trans.__('PodDefaults')}
              field="propagate"
              notes={notes}
              isOn={values.propagate}
              isDisabled={!mayList && !values.propagate}
              onChange={propagate => set({ propagate })}
              text={trans.__('Take the notebook’s configurations (PodDefaults)')}
              hint={mayList ? null : trans.__('This account may not list them in the namespace.')}
            />
          </>
        )}
      </div>
    </>
  );
}

function placeWords(cluster: ITarget, trans: TranslationBundle): string {
  const { namespace, store } = cluster;
  const place = trans.__('namespace %1', namespace ?? '');
  switch (store?.kind) {
    case 's3':
      return `${place} · ${trans.__('models go to %1', String(store['url'] ?? 'S3'))}`;
    case 'pvc':
    case 'snapshot':
      return `${place} · ${trans.__('models go to the volume %1', String(store['claim']))}`;
    default:
      return place;
  }
}

function resourceWords(values: IServeValues, trans: TranslationBundle): string {
  const { minReplicas: least, maxReplicas: most } = values;
  const range = (from: string, to: string): string => [from.trim(), to.trim()].filter(Boolean).join(' – ');
  const said = [
    (least || most) && trans.__('%1 replicas', range(least, most)),
    range(values.requestsCpu, values.limitsCpu) &&
      trans.__('%1 CPU', range(values.requestsCpu, values.limitsCpu)),
    range(values.requestsMemory, values.limitsMemory),
    values.gpus.trim() && trans.__('%1 GPU', values.gpus.trim()),
    values.deploymentMode
  ].filter(Boolean);
  return said.length > 0 ? said.join(' · ') : trans.__('as the cluster decides');
}
