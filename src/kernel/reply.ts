/** From the kernel's reply to our answer. Pure. */
import type { KernelMessage } from '@jupyterlab/services';
import type { JSONObject, JSONValue } from '@lumino/coreutils';

import { ApiError } from '../api';
import type { IErrorBody } from '../api';
import { ANSWER } from './code';

/** The JSON that our expression answered. Raises `ApiError`, also for an `error` inside the answer. */
export function readReply(content: KernelMessage.IExecuteReplyMsg['content']): JSONObject {
  if (content.status !== 'ok') {
    throw new ApiError(0, {
      code: 'KernelAborted',
      message: 'The kernel gave the question up, because a cell before it has failed or was interrupted.',
      hint: 'Try it again.'
    });
  }
  const answer = content.user_expressions?.[ANSWER] as JSONObject | undefined;
  if (answer === undefined) {
    throw new ApiError(0, {
      code: 'KernelUnsupported',
      message: 'This kernel does not answer questions about its variables.',
      hint: 'Serve from a Python notebook with ipykernel, or call kale_serve_lab.serve() in a script.'
    });
  }
  if (answer['status'] === 'error') {
    throw new ApiError(0, {
      code: String(answer['ename'] ?? 'KernelError'),
      message: `The kernel could not look: ${String(answer['ename'])}: ${String(answer['evalue'])}`,
      hint:
        answer['ename'] === 'ModuleNotFoundError'
          ? 'The kernel must see the files of the Jupyter server; a kernel on another machine needs kale-serve-lab installed.'
          : 'Restart the kernel; if it stays, report it with this text.'
    });
  }
  const data = answer['data'] as { [type: string]: JSONValue } | undefined;
  const json = data?.['application/json'];
  if (json === null || typeof json !== 'object' || Array.isArray(json)) {
    throw new ApiError(0, {
      code: 'KernelUnsupported',
      message: 'The kernel answered without JSON.',
      hint: 'An older kale-serve-lab may be installed in its environment: upgrade it there and restart the kernel.'
    });
  }
  const error = json['error'] as unknown as IErrorBody | null | undefined;
  if (error) {
    throw new ApiError(0, error);
  }
  return json;
}
