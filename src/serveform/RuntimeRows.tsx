import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useId, useState } from 'react';

import type { AnyProtocol, IRuntime } from '../api';
import { BUILT_IN, protocolName, runtimeName, size } from '../ui/words';
import type { INote } from './checks';
import { FormRow, Notes, SelectRow, TextOnlyRow } from './FormRow';
import type { IModelChoice, IServeValues } from './offer';
import {
  allOffered,
  chosenRuntime,
  clusterRuntime,
  offered,
  runtimeChoices,
  usualProtocol
} from './runtimes';

export interface IRuntimeRowsProps {
  runtimes: readonly IRuntime[];
  choice: IModelChoice;
  values: IServeValues;
  notes: readonly INote[];
  set: (change: Partial<IServeValues>) => void;
  /** A cluster's runtimes: which of them it takes where none is asked for, once that is known. */
  cluster?: { taken: string | null };
  /** A line below all of them. */
  hint?: string | null;
  trans: TranslationBundle;
}

/** Which model server answers, and over what: said in a line, chosen only by those who want to. */
export function RuntimeRows(props: IRuntimeRowsProps): JSX.Element {
  const { runtimes, choice, values, notes, set, cluster, trans } = props;
  const id = useId();
  const [isWanted, setWanted] = useState(false);
  // What keeps the model from being served is never hidden.
  const ours = notes.filter(note => note.field === 'runtime' || note.field === 'protocol');
  const isOpen = isWanted || ours.some(note => note.severity === 'error');
  const chosen = cluster
    ? clusterRuntime(runtimes, values, cluster.taken)
    : chosenRuntime(runtimes, values, choice.framework);
  const protocols =
    chosen === null && cluster ? allOffered(runtimes, choice.framework) : offered(chosen, choice.framework);
  const place = (runtime: IRuntime): string =>
    cluster ? clusterPlaceWords(runtime, trans) : placeWords(runtime, choice, trans);
  const usual = usualProtocol(values, protocols);
  const protocol = values.protocol || usual;
  if (chosen === null && !cluster) {
    return (
      <TextOnlyRow label={trans.__('Runtime')}>
        {trans.__('Built-in')} <span className="jp-KaleServe-hint">{protocolName(protocol, trans)}</span>
      </TextOnlyRow>
    );
  }
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
          {trans.__('Advanced')}
        </button>
        <span className="jp-KaleServe-control">
          {chosen === null ? (
            <span className="jp-KaleServe-hint">{trans.__('the cluster’s runtime that fits')}</span>
          ) : (
            <>
              <span>
                {runtimeName(chosen.name, trans)} · {protocolName(protocol, trans)}
              </span>
              <span className="jp-KaleServe-hint">{place(chosen)}</span>
            </>
          )}
          {!isOpen && ours.length > 0 && <Notes notes={ours} />}
        </span>
      </div>
      <div id={id} hidden={!isOpen} className="jp-KaleServe-advanced">
        {isOpen && (
          <>
            <FormRow label={trans.__('Runtime')} field="runtime" notes={notes} isGroup>
              {name => (
                <ul className="jp-KaleServe-runtimes">
                  {cluster && (
                    <Option
                      group={name}
                      label={trans.__('Automatic')}
                      hint={
                        values.runtime === '' && chosen !== null
                          ? trans.__('%1, as KServe would choose', runtimeName(chosen.name, trans))
                          : trans.__('as KServe would choose')
                      }
                      isChosen={values.runtime === ''}
                      onChoose={() => set({ runtime: '' })}
                    />
                  )}
                  {runtimeChoices(runtimes, values, choice.framework, trans).map(one => (
                    <Option
                      key={one.runtime.name}
                      group={name}
                      label={runtimeName(one.runtime.name, trans)}
                      runtime={one.runtime}
                      hint={one.reason ?? place(one.runtime)}
                      isChosen={one.runtime === chosen && (!cluster || values.runtime !== '')}
                      isRefused={one.reason !== null}
                      onChoose={() =>
                        set({ runtime: one.runtime.name === BUILT_IN && !cluster ? '' : one.runtime.name })
                      }
                    />
                  ))}
                </ul>
              )}
            </FormRow>
            <SelectRow
              label={trans.__('Protocol')}
              field="protocol"
              notes={notes}
              isShort
              value={protocol}
              onChange={value => set({ protocol: value === usual ? '' : (value as AnyProtocol) })}
              options={(protocols.includes(protocol) ? protocols : [protocol, ...protocols]).map(value => ({
                value,
                label: protocolName(value, trans)
              }))}
              hint={
                protocol.startsWith('grpc')
                  ? trans.__('Programs ask by gRPC; this page goes on asking by REST.')
                  : null
              }
            />
            {props.hint && <p className="jp-KaleServe-hint">{props.hint}</p>}
          </>
        )}
      </div>
    </>
  );
}

interface IOptionProps {
  group: string;
  label: string;
  hint: string;
  runtime?: IRuntime;
  isChosen: boolean;
  isRefused?: boolean;
  onChoose: () => void;
}

function Option({ group, label, hint, runtime, isChosen, isRefused, onChoose }: IOptionProps): JSX.Element {
  const id = useId();
  const isOwn = runtime !== undefined && !SHIPPED.includes(runtime.source);
  return (
    <li data-runtime={runtime?.name} title={isOwn ? runtime.source : undefined}>
      <input
        type="radio"
        id={id}
        name={group}
        checked={isChosen}
        disabled={isRefused && !isChosen}
        aria-describedby={`${id}-hint`}
        onChange={onChoose}
      />
      <label htmlFor={id}>{label}</label>
      <span id={`${id}-hint`} className="jp-KaleServe-hint">
        {hint}
      </span>
    </li>
  );
}

/** Sources that say nothing more than the hint does. */
const SHIPPED = ['table', 'cluster', 'namespace'];

function clusterPlaceWords(runtime: IRuntime, trans: TranslationBundle): string {
  if (runtime.name === BUILT_IN) {
    return trans.__('Kale’s own image');
  }
  return runtime.source === 'namespace' ? trans.__('of the namespace') : trans.__('of the cluster');
}

/** In which environment it would run, and whether that has to be made first. */
function placeWords(runtime: IRuntime, choice: IModelChoice, trans: TranslationBundle): string {
  if (runtime.name === BUILT_IN) {
    return choice.variable === null
      ? trans.__('in the model’s own environment')
      : trans.__('in this notebook’s environment');
  }
  const format = runtime.formats.find(found => found.format === choice.framework);
  if (!(format ?? runtime).installed) {
    return runtime.size === null
      ? trans.__('its environment is made first')
      : trans.__('its environment is made first (about %1)', size(runtime.size));
  }
  return runtime.source === 'table' ? trans.__('its environment is here') : trans.__('your own');
}
