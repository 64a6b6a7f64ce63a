import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSONValue } from '@lumino/coreutils';
import React, { useState } from 'react';

import type { ISignature } from '../api';
import { pretty } from './input';
import { readAnswer, showPercent } from './response';
import type { IBar } from './response';

/** More classes than that say nothing more: the rest is in the table. */
const MOST_BARS = 10;
const MOST_ROWS = 100;

export interface IAnswerViewProps {
  json: JSONValue;
  signature: ISignature | null;
  trans: TranslationBundle;
}

/** The answer as bars, where there are probabilities, and as a table. */
export function AnswerView({ json, signature, trans }: IAnswerViewProps): JSX.Element {
  const [row, setRow] = useState(0);
  const answer = readAnswer(json, signature);
  if (answer === null) {
    return (
      <pre className="jp-KaleServe-code" tabIndex={0} aria-label={trans.__('Answer as JSON')}>
        {pretty(json)}
      </pre>
    );
  }
  const shown = Math.min(row, answer.rows.length - 1);
  const bars = answer.bars?.[shown];
  return (
    <>
      {bars && answer.rows.length > 1 && (
        <label className="jp-KaleServe-inline">
          {trans.__('Row')}
          <select value={shown} onChange={event => setRow(Number(event.target.value))}>
            {answer.rows.slice(0, MOST_ROWS).map((_, index) => (
              <option key={index} value={index}>
                {index + 1}
              </option>
            ))}
          </select>
        </label>
      )}
      {bars && <Bars bars={bars} trans={trans} />}
      <div
        className="jp-KaleServe-tableBox"
        tabIndex={0}
        role="region"
        aria-label={trans.__('Answer as a table')}
      >
        <table className="jp-KaleServe-table">
          <thead>
            <tr>
              {answer.columns.map((column, index) => (
                <th key={index} scope="col">
                  {column}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {answer.rows.slice(0, MOST_ROWS).map((values, index) => (
              <tr key={index}>
                {values.map((value, column) => (
                  <td key={column}>{value}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {answer.rows.length > MOST_ROWS && (
        <p className="jp-KaleServe-hint">
          {trans.__('The first %1 of %2 rows.', MOST_ROWS, answer.rows.length)}
        </p>
      )}
    </>
  );
}

function Bars({ bars, trans }: { bars: IBar[]; trans: TranslationBundle }): JSX.Element {
  const rest = bars.length - MOST_BARS;
  return (
    <>
      <ul className="jp-KaleServe-bars" aria-label={trans.__('Class probabilities')}>
        {bars.slice(0, MOST_BARS).map(bar => (
          <li key={bar.label} title={String(bar.probability)}>
            <span className="jp-KaleServe-barLabel">{bar.label}</span>
            <span className="jp-KaleServe-bar" aria-hidden="true">
              <span style={{ inlineSize: `${Math.max(0, Math.min(1, bar.probability)) * 100}%` }} />
            </span>
            <span className="jp-KaleServe-number">{showPercent(bar.probability)}</span>
          </li>
        ))}
      </ul>
      {rest > 0 && <p className="jp-KaleServe-hint">{trans._n('%1 more class', '%1 more classes', rest)}</p>}
    </>
  );
}
