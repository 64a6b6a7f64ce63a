import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { IStage } from '../api';
import { ErrorNote } from '../ui/ErrorNote';
import { stageWord } from '../ui/words';
import type { IProgress } from './stages';

export interface IProgressProps {
  progress: IProgress;
  /** One line about what is going on. */
  sentence: string;
  /** What to do about it, where something can be done while it goes on. */
  nextStep?: string | null;
  trans: TranslationBundle;
}

const MARKS: { [state in IStage['state']]: string } = { waiting: '·', running: '◌', done: '✓', failed: '✗' };

/** The way to a ready endpoint, stage by stage; a failure stays at its stage. */
export function Progress({ progress, sentence, nextStep, trans }: IProgressProps): JSX.Element {
  const words: { [state in IStage['state']]: string } = {
    waiting: trans.__('waiting'),
    running: trans.__('running'),
    done: trans.__('done'),
    failed: trans.__('failed')
  };
  const said = [sentence, progress.error?.message];
  return (
    <div className="jp-KaleServe-progress">
      <ol className="jp-KaleServe-progressStages" aria-label={trans.__('Progress')}>
        {progress.stages.map(stage => (
          <li key={stage.name} data-stage={stage.name} data-state={stage.state}>
            <span className="jp-KaleServe-stageMark" aria-hidden="true">
              {MARKS[stage.state]}
            </span>
            <span>{stageWord(stage.name, trans)}</span>
            <span className="jp-KaleServe-hidden">{words[stage.state]}</span>
            <span className="jp-KaleServe-number">
              {stage.seconds === null ? '' : showSeconds(stage.seconds)}
            </span>
            {stage.state !== 'done' && stage.message && !said.includes(stage.message) && (
              <span className="jp-KaleServe-hint jp-KaleServe-cut" title={stage.message}>
                {stage.message}
              </span>
            )}
          </li>
        ))}
      </ol>
      <p role="status" className="jp-KaleServe-sentence">
        {sentence}
        {nextStep && <span className="jp-KaleServe-hint jp-KaleServe-nextStep">{nextStep}</span>}
      </p>
      {progress.error && <ErrorNote error={progress.error} trans={trans} />}
    </div>
  );
}

function showSeconds(seconds: number): string {
  if (seconds === 0) {
    // A cluster tells whole seconds.
    return '< 1 s';
  }
  return seconds < 0.1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
}
