import { asApiError } from '../api';
import type { IErrorBody } from '../api';

/** What a caught value says, in the shape in which states and views keep errors. */
export function errorBody(reason: unknown): IErrorBody {
  const { code, message, subject, hint, details } = asApiError(reason);
  return { code, message, subject, hint, details };
}
