import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useId, useState } from 'react';

import type { AnyProtocol, IRuntime } from '../api';
import { BUILT_IN, protocolName, runtimeName, size } from '../ui/words';
import type { INote } from './checks';
import { FormRow, Notes, SelectRow, TextOnlyRow } from './FormRow';
import type { IModelChoice, IServeValues } from './offer';
import { chosenRuntime, offered, runtimeChoices, usualProtocol } from './runtimes';
import type { IRuntimeChoice } from './runtimes';

export interface IRuntimeRowsProps {
  runtimes: readonly IRuntime[];
  choice: IModelChoice;
  values: IServeValues;
  notes: readonly INote[];
  set: (change: Partial<IServeValues>) => void;
  /** A line below all of them. */
  hint?: string | null;
  trans: TranslationBundle;
}

/** Which model server answers, and over what: said in a line, chosen only by those who want to. */
export function RuntimeRows(props: IRuntimeRowsProps): JSX.Element {
  const { runtimes, choice, values, notes, set, trans } = props;
  const id = useId();
  const [isWanted, setWanted] = useState(false);
  // What keeps the model from being served is never hidden.
  const ours = notes.filter(note => note.field === 'runtime' || note.field === 'protocol');
  const isOpen = isWanted || ours.some(note => note.severity === 'error');
  const chosen = chosenRuntime(runtimes, values, choice.framework);
  const protocols = offered(chosen, choice.framework);
  const usual = usualProtocol(values, protocols);
  const protocol = values.protocol || usual;
  if (chosen === null) {
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
          <span>
            {runtimeName(chosen.name, trans)} · {protocolName(protocol, trans)}
          </span>
          <span className="jp-KaleServe-hint">{placeWords(chosen, choice, trans)}</span>
          {!isOpen && ours.length > 0 && <Notes notes={ours} />}
        </span>
      </div>
      <div id={id} hidden={!isOpen} className="jp-KaleServe-advanced">
        {isOpen && (
          <>
            <FormRow label={trans.__('Runtime')} field="runtime" notes={notes} isGroup>
              {name => (
                <ul className="jp-KaleServe-runtimes">
                  {runtimeChoices(runtimes, values, choice.framework, trans).map(one => (
                    <RuntimeOption
                      key={one.runtime.name}
                      group={name}
                      one={one}
                      isChosen={one.runtime === chosen}
                      choice={choice}
                      onChoose={() => set({ runtime: one.runtime.name === BUILT_IN ? '' : one.runtime.name })}
                      trans={trans}
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

interface IRuntimeOptionProps {
  group: string;
  one: IRuntimeChoice;
  isChosen: boolean;
  choice: IModelChoice;
  onChoose: () => void;
  trans: TranslationBundle;
}

function RuntimeOption(props: IRuntimeOptionProps): JSX.Element {
  const { one, isChosen, choice, trans } = props;
  const id = useId();
  const { runtime, reason } = one;
  return (
    <li data-runtime={runtime.name} title={runtime.source === 'table' ? undefined : runtime.source}>
      <input
        type="radio"
        id={id}
        name={props.group}
        checked={isChosen}
        disabled={reason !== null && !isChosen}
        aria-describedby={`${id}-hint`}
        onChange={props.onChoose}
      />
      <label htmlFor={id}>{runtimeName(runtime.name, trans)}</label>
      <span id={`${id}-hint`} className="jp-KaleServe-hint">
        {reason ?? placeWords(runtime, choice, trans)}
      </span>
    </li>
  );
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
