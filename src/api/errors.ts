import type { JSONValue } from '@lumino/coreutils';

import type { IErrorBody } from './types';

/**
 * An answer of the server that is not a success: what happened, to which object, what to do next.
 */
export class ApiError extends Error {
  constructor(status: number, body: IErrorBody) {
    super(body.message);
    this.name = 'ApiError';
    this.status = status;
    this.code = body.code;
    this.subject = body.subject ?? null;
    this.hint = body.hint ?? null;
    this.details = body.details ?? {};
  }

  /** The HTTP status; 0 where no answer came at all. */
  readonly status: number;
  readonly code: string;
  readonly subject: string | null;
  readonly hint: string | null;
  readonly details: NonNullable<IErrorBody['details']>;

  /** Whether nobody is there to ask: the Jupyter server or the daemon. */
  get isUnavailable(): boolean {
    return this.status === 0 || this.code === 'DaemonUnavailable' || this.code === 'DaemonMissingDependency';
  }
}

/** Read the error out of an answer; whatever a proxy in between has sent becomes a sentence too. */
export function errorFromAnswer(status: number, statusText: string, text: string): ApiError {
  const body = parse(text);
  if (body) {
    return new ApiError(status, body);
  }
  if (status === 404) {
    return new ApiError(status, {
      code: 'ExtensionMissing',
      message: 'The Jupyter server does not know Kale Serve.',
      hint: 'Enable the server extension kale_serve_lab and restart the Jupyter server.'
    });
  }
  if (status === 401 || status === 403) {
    return new ApiError(status, {
      code: status === 401 ? 'Unauthorized' : 'Forbidden',
      message: 'The Jupyter server refused the request.',
      hint: 'Log in again and reload the page.'
    });
  }
  return new ApiError(status, {
    code: 'UpstreamFailed',
    message: `The server answered ${status} ${statusText}.`.replace(' .', '.'),
    hint: 'See the log of the Jupyter server.'
  });
}

/** What a caught value says, as an error of the API. */
export function asApiError(reason: unknown): ApiError {
  if (reason instanceof ApiError) {
    return reason;
  }
  const message = reason instanceof Error ? reason.message : String(reason);
  return new ApiError(0, { code: 'Unexpected', message });
}

function parse(text: string): IErrorBody | null {
  let value: JSONValue;
  try {
    value = JSON.parse(text) as JSONValue;
  } catch {
    return null;
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    return null;
  }
  const error = value['error'];
  if (error && typeof error === 'object' && !Array.isArray(error) && typeof error['message'] === 'string') {
    return { code: 'UpstreamFailed', ...error } as unknown as IErrorBody;
  }
  if (typeof error === 'string' && error) {
    // A model server's: the Open Inference Protocol has a text there. Ours says its parts beside it, others only the text.
    const { code, message, subject, hint, details } = value;
    const parts =
      typeof code === 'string' && typeof message === 'string'
        ? { code, message, subject, hint, details }
        : {};
    return { code: 'UpstreamFailed', message: error, ...parts } as unknown as IErrorBody;
  }
  // Jupyter's own errors: {"message": …, "reason": …}
  if (typeof value['message'] === 'string' && value['message']) {
    return { code: 'JupyterServer', message: value['message'] };
  }
  return null;
}
