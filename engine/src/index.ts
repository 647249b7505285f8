export * from './autograd/index.js';
export * from './device/index.js';
export { defineEngineErrors, EngineError, hasCode } from './errors.js';
export * from './models/index.js';
export * from './nn/index.js';
export * as ops from './ops/index.js';
export * from './tensor/index.js';
export * from './training/index.js';
