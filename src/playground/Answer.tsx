import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSONValue } from '@lumino/coreutils';
import React, { useState } from 'react';

import type { ISignature } from '../api';
import { pretty } from './pretty';
import { readAnswer, showPercent } from './response';
import type { IAnswerTable, IBar } from './response';

/** More classes than that say nothing more: the rest is in the table. */
const MOST_BARS = 10;
const MOST_ROWS = 100;
const MOST_COLUMNS = 64;

export interface IAnswerViewProps {
  json: JSONValue;
  signature: ISignature | null;
  trans: TranslationBundle;
}

/** The answer as bars, where there are probabilities, and as a table; several outputs one after the other. */
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
  const barred = answer.tables.filter(table => table.bars !== null);
  const count = Math.max(0, ...barred.map(table => table.rows.length));
  const shown = Math.min(row, count - 1);
  return (
    <>
      {count > 1 && (
        <label className="jp-KaleServe-inline">
          {trans.__('Row')}
          <select value={shown} onChange={event => setRow(Number(event.target.value))}>
            {Array.from({ length: Math.min(count, MOST_ROWS) }, (_, index) => (
              <option key={index} value={index}>
                {index + 1}
              </option>
            ))}
          </select>
        </label>
      )}
      {answer.tables.map((table, index) => (
        <OutputView key={index} table={table} row={shown} trans={trans} />
      ))}
    </>
  );
}

interface IOutputViewProps {
  table: IAnswerTable;
  /** The row whose probabilities are shown. */
  row: number;
  trans: TranslationBundle;
}

function OutputView({ table, row, trans }: IOutputViewProps): JSX.Element {
  const { name, columns, rows } = table;
  const bars = table.bars?.[row];
  const label = name === null ? trans.__('Answer as a table') : trans.__('%1 as a table', name);
  return (
    <>
      {name !== null && <h4 className="jp-KaleServe-output">{name}</h4>}
      {bars && (
        <Bars
          bars={bars}
          label={
            name === null ? trans.__('Class probabilities') : trans.__('Class probabilities of %1', name)
          }
          trans={trans}
        />
      )}
      <div className="jp-KaleServe-tableBox" tabIndex={0} role="region" aria-label={label}>
        <table className="jp-KaleServe-table">
          <thead>
            <tr>
              {columns.slice(0, MOST_COLUMNS).map((column, index) => (
                <th key={index} scope="col">
                  {column}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, MOST_ROWS).map((values, index) => (
              <tr key={index}>
                {values.slice(0, MOST_COLUMNS).map((value, column) => (
                  <td key={column}>{value}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {rows.length > MOST_ROWS && (
        <p className="jp-KaleServe-hint">{trans.__('The first %1 of %2 rows.', MOST_ROWS, rows.length)}</p>
      )}
      {columns.length > MOST_COLUMNS && (
        <p className="jp-KaleServe-hint">
          {trans.__('The first %1 of %2 values of each row.', MOST_COLUMNS, columns.length)}
        </p>
      )}
    </>
  );
}

function Bars({
  bars,
  label,
  trans
}: {
  bars: IBar[];
  label: string;
  trans: TranslationBundle;
}): JSX.Element {
  const rest = bars.length - MOST_BARS;
  return (
    <>
      <ul className="jp-KaleServe-bars" aria-label={label}>
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
