export type { Architecture } from './architectures/architecture.js';
export { architectureOf, knownModelTypes, registerArchitecture } from './architectures/index.js';
export { type PackedBatch, type PagedBatch, packSequences } from './batch.js';
export { adapterBase, checkModelFiles } from './check-files.js';
export type { DecoderConfig, EncoderConfig, ModelConfig } from './config.js';
export type { PartialLayer } from './decoder-block.js';
export { type FrozenWeights, keepFrozenWeights } from './frozen-weights.js';
export { KvCache, type KvCacheOptions, type KvCacheType, type KvShape } from './kv-cache.js';
export type { ModelLinears } from './linears.js';
export { asCausal, createModel, type LoadOptions, loadModelFiles, parseModelConfig } from './load.js';
export * from './lora/index.js';
export { estimateMemory, type MemoryEstimate, type MemoryPlan } from './memory.js';
export {
  type CausalLanguageModel,
  type CheckpointPolicy,
  type EncoderModel,
  type ForwardOptions,
  type HiddenStates,
  isCheckpointed,
  type LanguageModel,
  type LayerPart,
} from './model.js';
export { loadModel } from './open.js';
export type { OptimizerKind } from './optimizer-memory.js';
export type { RopeConfig, RopeScaling } from './rope.js';
export {
  type PretrainedFiles,
  parameterToWrite,
  type SaveOptions,
  savePretrained,
  tensorToWrite,
  writePretrained,
} from './save.js';
export { selectLayers } from './select-layers.js';
export type { WeightFiles, WeightPrecision, WeightProvider } from './weights.js';
