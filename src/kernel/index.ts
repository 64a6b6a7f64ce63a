export type { ISubmission } from './code';
export * from './session';
export * from './types';
