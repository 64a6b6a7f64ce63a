export * from './client';
export * from './errors';
export * from './key';
export * from './types';
