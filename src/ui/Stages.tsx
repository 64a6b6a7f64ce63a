import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { IStage } from '../api';
import { duration, stageWord } from './words';

export interface IStagesProps {
  stages: readonly IStage[];
  trans: TranslationBundle;
}

/** Progress as a line of stages; the stage at work says how far it is, a failed one stays where it failed. */
export function Stages({ stages, trans }: IStagesProps): JSX.Element {
  const now =
    stages.find(stage => stage.state === 'failed') ?? stages.find(stage => stage.state === 'running');
  return (
    <div className="jp-KaleServe-stages">
      <ol aria-label={trans.__('Stages')}>
        {stages.map(stage => (
          <li
            key={stage.name}
            className={`jp-mod-${stage.state}`}
            aria-current={stage === now ? 'step' : undefined}
            title={stage.seconds === null ? undefined : duration(stage.seconds, trans)}
          >
            <span aria-hidden="true">{MARKS[stage.state]}</span> {stageWord(stage.name, trans)}
            <span className="jp-KaleServe-hidden"> {stageStateWord(stage.state, trans)}</span>
          </li>
        ))}
      </ol>
      {now && (now.message || now.seconds !== null) && (
        <p className="jp-KaleServe-sub jp-KaleServe-cut" title={now.message ?? undefined}>
          {[now.message, now.seconds === null ? null : duration(now.seconds, trans)]
            .filter(Boolean)
            .join(' · ')}
        </p>
      )}
    </div>
  );
}

const MARKS: { [state in IStage['state']]: string } = { waiting: '', running: '◌', done: '✓', failed: '✗' };

function stageStateWord(state: IStage['state'], trans: TranslationBundle): string {
  switch (state) {
    case 'waiting':
      return trans.__('to come');
    case 'running':
      return trans.__('at work');
    case 'done':
      return trans.__('done');
    case 'failed':
      return trans.__('failed');
  }
}
