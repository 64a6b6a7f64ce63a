import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { asApiError } from '../api';

export interface IQuestion {
  title: string;
  /** What is removed and what stays. */
  body: string;
  button: string;
}

/** Ask before something is lost; true where the answer is yes. */
export async function confirmRemoval(question: IQuestion, trans: TranslationBundle): Promise<boolean> {
  const answer = await showDialog({
    title: question.title,
    body: question.body,
    buttons: [
      Dialog.cancelButton({ label: trans.__('Cancel') }),
      Dialog.warnButton({ label: question.button })
    ],
    defaultButton: 0
  });
  return answer.button.accept;
}

/** Do it, and where it fails say why and what to do. */
export async function orNotify(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (reason) {
    const error = asApiError(reason);
    Notification.error([error.message, error.hint].filter(Boolean).join(' '), { autoClose: false });
  }
}
