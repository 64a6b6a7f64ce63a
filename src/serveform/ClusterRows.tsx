import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useId, useState } from 'react';

import { LOCAL_TARGET } from '../api';
import type { ITarget } from '../api';
import type { INote } from './checks';
import { FormRow, Notes, SelectRow, TextRow } from './FormRow';
import type { IServeValues } from './offer';
import type { IResourceValues } from './resources';
import { hasPodDefaults } from './where';

interface IPartProps {
  values: IServeValues;
  notes: readonly INote[];
  set: (change: Partial<IServeValues>) => void;
  trans: TranslationBundle;
}

export interface IWhereRowProps {
  cluster: ITarget;
  target: string;
  notes: readonly INote[];
  onChoose: (target: string) => void;
  trans: TranslationBundle;
}

/** This machine, or the cluster that is configured. */
export function WhereRow({ cluster, target, notes, onChoose, trans }: IWhereRowProps): JSX.Element {
  const choices = [
    { name: LOCAL_TARGET, label: trans.__('this machine') },
    { name: cluster.name, label: cluster.title }
  ];
  return (
    <FormRow label={trans.__('Where')} field="where" notes={notes} isGroup>
      {id => (
        <div className="jp-KaleServe-radios">
          {choices.map(choice => (
            <label key={choice.name}>
              <input
                type="radio"
                name={id}
                checked={target === choice.name}
                onChange={() => onChoose(choice.name)}
              />
              {choice.label}
            </label>
          ))}
        </div>
      )}
    </FormRow>
  );
}

/** What only a cluster is asked for; it decides by itself what is left empty. */
export function ResourceRows({ cluster, ...parts }: IPartProps & { cluster: ITarget }): JSX.Element {
  const { values, notes, set, trans } = parts;
  const id = useId();
  const [isWanted, setWanted] = useState(false);
  const ours = notes.filter(note => note.field !== null && OURS.includes(note.field));
  const isOpen = isWanted || ours.some(note => note.severity === 'error');
  const row = (name: keyof IResourceValues) => ({
    notes,
    isShort: true,
    value: values[name],
    onChange: (value: string) => set({ [name]: value })
  });
  return (
    <>
      <div className="jp-KaleServe-row">
        <button
          type="button"
          className="jp-KaleServe-disclosure"
          aria-expanded={isOpen}
          aria-controls={id}
          onClick={() => setWanted(!isOpen)}
        >
          {trans.__('Resources')}
        </button>
        <span className="jp-KaleServe-control">
          <span className="jp-KaleServe-hint">{resourceWords(values, trans)}</span>
          {!isOpen && ours.length > 0 && <Notes notes={ours} />}
        </span>
      </div>
      <div id={id} hidden={!isOpen} className="jp-KaleServe-advanced">
        {isOpen && (
          <>
            <TextRow label={trans.__('Least replicas')} field="minReplicas" {...row('minReplicas')} />
            <TextRow label={trans.__('Most replicas')} field="maxReplicas" {...row('maxReplicas')} />
            <TextRow label={trans.__('CPU requested')} field="requests" {...row('requestsCpu')} />
            <TextRow label={trans.__('Memory requested')} {...row('requestsMemory')} />
            <TextRow label={trans.__('CPU limit')} field="limits" {...row('limitsCpu')} />
            <TextRow label={trans.__('Memory limit')} {...row('limitsMemory')} />
            <TextRow label={trans.__('Service account')} field="serviceAccount" {...row('serviceAccount')} />
            {cluster.modes.length > 0 && (
              <SelectRow
                label={trans.__('Mode')}
                field="deploymentMode"
                {...row('deploymentMode')}
                options={[
                  { value: '', label: trans.__('the cluster’s own') },
                  ...cluster.modes.map(mode => ({ value: mode, label: mode }))
                ]}
              />
            )}
            {hasPodDefaults(cluster) && (
              <FormRow label={trans.__('PodDefaults')} field="propagate" notes={notes}>
                {(input, described) => (
                  <label>
                    <input
                      id={input}
                      type="checkbox"
                      aria-label={trans.__('Copy the notebook’s configurations (PodDefaults)')}
                      {...described}
                      checked={values.propagate}
                      onChange={event => set({ propagate: event.target.checked })}
                    />{' '}
                    {trans.__('copy the notebook’s configurations')}
                  </label>
                )}
              </FormRow>
            )}
          </>
        )}
      </div>
    </>
  );
}

const OURS: readonly string[] = [
  'minReplicas',
  'maxReplicas',
  'requests',
  'limits',
  'serviceAccount',
  'deploymentMode',
  'propagate'
];

function resourceWords(values: IServeValues, trans: TranslationBundle): string {
  const said = [
    values.limitsCpu && trans.__('%1 CPU', values.limitsCpu),
    values.limitsMemory,
    values.maxReplicas && trans.__('at most %1 replicas', values.maxReplicas),
    values.deploymentMode
  ].filter(Boolean);
  return said.length > 0 ? said.join(' · ') : trans.__('as the cluster decides');
}
