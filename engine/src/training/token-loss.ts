import type { z } from 'zod';
import type { CrossEntropyOptions, CrossEntropyResult } from '../ops/loss.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Loss } from './objective.js';
import type { TokenBatch } from './token-batch.js';

/** What a token loss is computed from. Documents of a batch lie end to end: T tokens in all. */
export interface TokenLossInput {
  /** Final-norm hidden states [T, hiddenSize], on the tape. */
  readonly hidden: Tensor;
  /** i32 [T] on the device: the token to predict at each position, `ignoredLabel` where there is none. */
  readonly labels: Tensor;
  /** The same labels, with the bounds of the documents, on the host. */
  readonly batch: TokenBatch;
  /** As `LossContext.scale`: what to give a fused cross-entropy as `gradScale`. */
  readonly scale: number;
  /**
   * The head's cross-entropy of `hidden` against `labels`, fused: its matrix product, its softcap and its bias, without
   * the logits of all rows at once. `rowWeight` f32 [T] weighs positions; `entropy`, `lse` and `argmax` are to be had.
   * It may be called more than once (see `withoutTape` for what needs no gradient).
   */
  crossEntropy(options?: CrossEntropyOptions): CrossEntropyResult;
}

/** How far off a model is at the targets of a batch. */
export interface TokenLoss {
  /** What the loss of a batch is divided by, more than 0 where there are targets; its targets unless given. */
  weight?(batch: TokenBatch): number;
  /** Records the loss; see `Loss` for who starts its backward pass. Runs inside a scope, on a tape. */
  compute(input: TokenLossInput): Loss;
}

/** A token loss that is chosen by name: what it can be told, and how it is made. */
export interface TokenLossDefinition<Options = unknown> {
  /** Refuses unknown keys, and takes `{}` if nothing has to be said. */
  readonly options: z.ZodType<Options>;
  create(options: Options): TokenLoss;
}

/** A definition whose option type does not matter to the reader. */
export interface AnyTokenLossDefinition extends Omit<TokenLossDefinition<never>, 'options'> {
  readonly options: z.ZodType;
}

/** Declares a token loss; types the options of `create` by the schema. */
export function defineTokenLoss<Options>(definition: TokenLossDefinition<Options>): TokenLossDefinition<Options> {
  return definition;
}

/** Cross-entropy, with a part of the target's probability spread over the whole vocabulary if that is asked for. */
export function crossEntropyLoss({ labelSmoothing = 0 }: { labelSmoothing?: number } = {}): TokenLoss {
  return {
    compute: ({ crossEntropy, scale }) => ({
      values: crossEntropy({ gradScale: scale, labelSmoothing }).nll,
      fused: true,
    }),
  };
}
