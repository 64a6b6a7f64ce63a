/** The words for what is the matter with a field. */
import type { TranslationBundle } from '@jupyterlab/translation';

import { showValue } from './response';
import type { Problem, Remark } from './fields';

export function problemText(problem: Problem, trans: TranslationBundle): string {
  switch (problem.kind) {
    case 'missing':
      return trans.__('Needs a number.');
    case 'not-a-number':
      return trans.__('Not a number. Decimals take a point: 3.14');
    case 'not-whole':
      return trans.__('Needs a whole number.');
    case 'too-large':
      return trans.__('Too large for a form to send it exactly. The JSON view can.');
    case 'outside-type':
      return trans.__('Its type goes from %1 to %2.', problem.low, problem.high);
    case 'not-json':
      return trans.__('Not JSON yet.');
    case 'ragged':
      return trans.__('Its lists are not all of one length.');
    case 'shape':
      return trans.__('Its shape is %1; %2 is needed.', shapeText(problem.given), shapeText(problem.wanted));
  }
}

export function remarkText(remark: Remark, trans: TranslationBundle): string {
  if (remark.kind === 'below') {
    return trans.__('below the smallest value in training (%1)', showValue(remark.bound));
  }
  return remark.times === null
    ? trans.__('above the largest value in training (%1)', showValue(remark.bound))
    : trans.__('%1 × above the largest value in training (%2)', remark.times, showValue(remark.bound));
}

/** A row's shape, with n for an open length: "3 × 224 × n". */
export function shapeText(shape: readonly number[]): string {
  return shape.length === 0 ? '1' : shape.map(length => (length < 0 ? 'n' : String(length))).join(' × ');
}
