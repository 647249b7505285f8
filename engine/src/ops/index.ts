export { type AttentionOptions, attention, type RopeOptions, rope } from './attention.js';
export { add, cast, dropout, narrow, softcap, unary } from './elementwise.js';
export { embedding, gatherRows, type Lookup } from './embedding.js';
export { groupedLinear, type Routing, route, scaleRows, sumRows } from './experts.js';
export { glu } from './feedforward.js';
export { type LinearOptions, type LoraBranch, type LoraStack, linear } from './linear.js';
export { type CrossEntropyOptions, type CrossEntropyResult, crossEntropy, squaredError } from './loss.js';
export { layerNorm, type NormOptions, type NormResult, rmsNorm } from './norm.js';
export { meanPool } from './pool.js';
