import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { ISignature } from '../api';
import type { ICall } from './calls';
import { readAnswer, showValue } from './response';

export interface IHistoryProps {
  calls: readonly ICall[];
  /** The call whose answer is shown. */
  shown: number | null;
  signature: ISignature | null;
  onShow: (call: ICall) => void;
  onReplay: (call: ICall) => void;
  trans: TranslationBundle;
}

/** What was asked before: to be looked at again, or asked again. */
export function History(props: IHistoryProps): JSX.Element {
  const { calls, trans } = props;
  return (
    <div
      className="jp-KaleServe-tableBox"
      tabIndex={0}
      role="region"
      aria-label={trans.__('Calls made from here')}
    >
      <table className="jp-KaleServe-table jp-KaleServe-history">
        <thead>
          <tr>
            <th scope="col">{trans.__('time')}</th>
            <th scope="col">{trans.__('revision')}</th>
            <th scope="col">{trans.__('input')}</th>
            <th scope="col">{trans.__('answer')}</th>
            <th scope="col">{trans.__('ms')}</th>
            <th scope="col">
              <span className="jp-KaleServe-hidden">{trans.__('Again')}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {calls.map(call => (
            <tr key={call.id} aria-current={call.id === props.shown ? true : undefined}>
              <td>
                <button
                  type="button"
                  className="jp-KaleServe-link"
                  title={trans.__('Show this answer')}
                  onClick={() => props.onShow(call)}
                >
                  {showTime(call.time)}
                </button>
              </td>
              <td>{call.outcome.kind === 'answer' ? (call.outcome.revision ?? '') : ''}</td>
              <td>{call.label}</td>
              <td>
                {call.outcome.kind === 'answer' ? (
                  (readAnswer(call.outcome.json, props.signature)?.summary ?? trans.__('JSON'))
                ) : (
                  <span className="jp-KaleServe-errorText">{trans.__('failed')}</span>
                )}
                {call.same !== null && (
                  <span className="jp-KaleServe-hint">
                    {' '}
                    {call.same ? trans.__('= same') : trans.__('≠ differs')}
                  </span>
                )}
              </td>
              <td>{call.outcome.kind === 'answer' ? showMilliseconds(call.outcome.milliseconds) : ''}</td>
              <td>
                <button
                  type="button"
                  className="jp-KaleServe-link"
                  aria-label={trans.__('Replay the call of %1', showTime(call.time))}
                  title={trans.__('Send the same request again')}
                  onClick={() => props.onReplay(call)}
                >
                  <span aria-hidden="true">↻</span>
                </button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function showTime(time: number): string {
  return new Date(time).toLocaleTimeString();
}

export function showMilliseconds(milliseconds: number): string {
  return milliseconds < 10 ? milliseconds.toFixed(1) : showValue(Math.round(milliseconds));
}
