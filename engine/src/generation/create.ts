import type { CausalLanguageModel } from '../models/model.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { defaultLimits, GenerationEngine, type GenerationLimits } from './engine.js';
import { asMixture, type CacheType, contextOf, type MixedModel, ModelExecutor } from './model-executor.js';
import type { DraftProposer } from './speculation.js';

export interface CreateOptions {
  /** One model, or several of one vocabulary on one device that generate as one. */
  readonly model: CausalLanguageModel | readonly MixedModel[];
  readonly tokenizer: Tokenizer;
  readonly limits?: Partial<GenerationLimits>;
  /** Bytes of the key-value cache. */
  readonly cacheBytes?: number;
  /** How keys and values are kept; in the model's own precision unless given. */
  readonly cacheType?: CacheType;
  /** Positions of one sequence; the model's own unless given. */
  readonly contextLength?: number;
  /** Streams are bit for bit the same alone and in company, at the price of slower attention over prompts. */
  readonly batchInvariant?: boolean;
  /** Guesses tokens ahead, so that one step yields several. */
  readonly proposer?: DraftProposer;
}

/** A generation engine over a loaded model. */
export function createGenerationEngine({
  model,
  tokenizer,
  limits,
  cacheBytes,
  cacheType,
  contextLength,
  batchInvariant,
  proposer,
}: CreateOptions): GenerationEngine {
  return new GenerationEngine({
    executor: new ModelExecutor(model, {
      cacheBytes,
      maxSequences: limits?.maxSequences ?? defaultLimits.maxSequences,
      batchInvariant,
      cacheType,
    }),
    contextLength: Math.min(contextLength ?? Number.POSITIVE_INFINITY, contextOf(asMixture(model))),
    eosTokenIds: tokenizer.eosTokenIds,
    decoder: () => tokenizer.streamDecoder(),
    limits,
    proposer,
  });
}
