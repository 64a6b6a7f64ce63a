import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { IArtifact } from '../api';
import { frameworkName } from './words';

const LETTERS: { [format: string]: string } = {
  sklearn: 'sk',
  xgboost: 'XG',
  lightgbm: 'LG',
  pytorch: 'Pt',
  tensorflow: 'TF',
  onnx: 'ON',
  pmml: 'PM',
  mlflow: 'ML',
  python: 'Py'
};

/** An artifact's format in two letters, for the eye that runs down a list; the name stands in the line below. */
export function FormatMark({ artifact }: { artifact: IArtifact }): JSX.Element | null {
  const { framework } = artifact;
  if (framework === null) {
    return null;
  }
  return (
    <span className="jp-KaleServe-format" aria-hidden="true" title={frameworkName(framework)}>
      {LETTERS[framework] ?? framework.slice(0, 2)}
    </span>
  );
}

/** Says that loading the artifact runs code that came with it. */
export function ExecutableMark({
  artifact,
  trans
}: {
  artifact: IArtifact;
  trans: TranslationBundle;
}): JSX.Element | null {
  if (!artifact.executable) {
    return null;
  }
  const words = trans.__('runs code when loaded');
  return (
    <span className="jp-KaleServe-executable" title={words}>
      <span aria-hidden="true">{'{ }'}</span>
      <span className="jp-KaleServe-hidden">{words}</span>
    </span>
  );
}
