import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { INote } from './checks';
import { Notes, TextOnlyRow } from './FormRow';
import type { ITick, TickState } from './ticks';

export interface IPreflightProps {
  ticks: readonly ITick[];
  notes: readonly INote[];
  trans: TranslationBundle;
}

const MARKS: { [state in TickState]: string } = {
  ok: '✓',
  warning: '!',
  error: '✗',
  asking: '◌',
  later: '○'
};

/** A row of ticks, and below it what belongs to no field. */
export function Preflight({ ticks, notes, trans }: IPreflightProps): JSX.Element {
  const words: { [state in TickState]: string } = {
    ok: trans.__('fine'),
    warning: trans.__('a remark'),
    error: trans.__('to be mended'),
    asking: trans.__('being checked'),
    later: trans.__('checked when it is packaged')
  };
  const general = notes.filter(note => note.field === null);
  return (
    <TextOnlyRow label={trans.__('Preflight')}>
      <ul className="jp-KaleServe-ticks" aria-label={trans.__('Preflight')}>
        {ticks.map(tick => (
          <li
            key={tick.id}
            data-check={tick.id}
            data-state={tick.state}
            title={tick.text ?? words[tick.state]}
          >
            <span className="jp-KaleServe-tickMark" aria-hidden="true">
              {MARKS[tick.state]}
            </span>
            {tick.label}
            <span className="jp-KaleServe-hidden">: {words[tick.state]}</span>
          </li>
        ))}
      </ul>
      {general.length > 0 && <Notes notes={general} />}
      <span role="status" className="jp-KaleServe-hidden">
        {summary(ticks, notes, trans)}
      </span>
    </TextOnlyRow>
  );
}

/** For those who cannot see the ticks change; nothing while they are being checked. */
function summary(ticks: readonly ITick[], notes: readonly INote[], trans: TranslationBundle): string {
  if (ticks.some(tick => tick.state === 'asking')) {
    return '';
  }
  const errors = notes.filter(note => note.severity === 'error').length;
  const remarks = notes.filter(note => note.severity === 'warning').length;
  if (errors > 0) {
    return trans._n('%1 thing is to be mended', '%1 things are to be mended', errors);
  }
  return remarks > 0
    ? trans._n('It can be served, with %1 remark', 'It can be served, with %1 remarks', remarks)
    : trans.__('It can be served');
}
