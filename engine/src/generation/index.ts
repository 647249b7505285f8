export { type AdapterHandle, AdapterSlots } from './adapter-slots.js';
export { type CreateOptions, createGenerationEngine } from './create.js';
export { DraftModel, type DraftModelOptions } from './draft-model.js';
export {
  GenerationEngine,
  type GenerationLimits,
  type GenerationOptions,
  type GenerationStats,
  type GenerationStream,
  type TextDecoder,
} from './engine.js';
export type { StepExecutor, StepResult } from './executor.js';
export { type CacheType, type MixedModel, ModelExecutor, type ModelExecutorOptions } from './model-executor.js';
export {
  type FinishReason,
  type GenerateEvent,
  type GenerateRequest,
  greedy,
  type PositionLogprobs,
  type SamplingParams,
  type TokenConstraint,
  type TokenLogprob,
  type TokenUsage,
} from './request.js';
export { type DraftProposer, PromptLookup, type PromptLookupOptions } from './speculation.js';
