import { z } from 'zod';
import type { UnaryKind } from '../device/opcodes.js';
import type { DecoderModules, ExpertModules } from './decoder-modules.js';
import { modelErrors } from './errors.js';
import type { RopeConfig } from './rope.js';

/** Feed-forwards of which each token uses some (mixture of experts). */
export interface ExpertsConfig {
  readonly count: number;
  readonly perToken: number;
  readonly intermediateSize: number;
  /** Whether the weights of a token's experts are divided by their sum. */
  readonly normalize: boolean;
  /** Of the expert that every token goes to besides; 0 is none. */
  readonly sharedIntermediateSize: number;
  /** Which layers have experts; the others have one feed-forward. */
  readonly layers: readonly boolean[];
  readonly modules: ExpertModules;
}

/** The shape of a decoder-only transformer, in the engine's own terms: whatever a family calls it in its config.json. */
export interface DecoderConfig {
  readonly kind: 'decoder';
  /** `model_type` of config.json. */
  readonly modelType: string;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Positions that the model was made for. */
  readonly maxPositions: number;
  /** `offset` is added to the weights of an RMSNorm. */
  readonly norm: { readonly kind: 'rms' | 'layer'; readonly eps: number; readonly offset: 0 | 1 };
  readonly activation: UnaryKind;
  readonly tieWordEmbeddings: boolean;
  /** What token embeddings are multiplied by. */
  readonly embeddingScale: number;
  readonly attentionBias: { readonly qkv: boolean; readonly output: boolean };
  readonly mlpBias: boolean;
  /** RMSNorm of each head of queries and keys before the rotation. */
  readonly qkNorm: boolean;
  /** What scores are multiplied by, in each layer. */
  readonly attentionScales: readonly number[];
  /** Scores are cap * tanh(score / cap); 0 is off. */
  readonly attentionSoftcap: number;
  /** The same for logits. */
  readonly logitSoftcap: number;
  /** Attention and feed-forward both read the stream as it enters the layer, instead of one after the other. */
  readonly parallelResidual: boolean;
  readonly rope: RopeConfig;
  /** Of layers with a window, where it is another one. */
  readonly localRope: RopeConfig | undefined;
  /** Sliding window of each layer; 0 sees everything before it. */
  readonly windows: readonly number[];
  readonly experts: ExpertsConfig | undefined;
  readonly modules: DecoderModules;
  readonly bosTokenId: number | undefined;
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | undefined;
  readonly initializerRange: number;
  /** config.json as it was read: what is saved again. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** The shape of a bidirectional encoder with learnt positions and norms after each sublayer (BERT). */
export interface EncoderConfig {
  readonly kind: 'encoder';
  readonly modelType: string;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly headDim: number;
  readonly maxPositions: number;
  readonly typeVocabSize: number;
  readonly normEps: number;
  readonly activation: UnaryKind;
  readonly padTokenId: number | undefined;
  readonly initializerRange: number;
  readonly raw: Readonly<Record<string, unknown>>;
}

export type ModelConfig = DecoderConfig | EncoderConfig;

const ACTIVATIONS: Readonly<Record<string, UnaryKind>> = {
  silu: 'silu',
  swish: 'silu',
  gelu: 'gelu',
  gelu_new: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  gelu_fast: 'gelu_tanh',
  relu: 'relu',
  tanh: 'tanh',
};

/** `hidden_act` as the engine's activation. */
export const hiddenAct = z.string().transform((name, ctx): UnaryKind => {
  const activation = ACTIVATIONS[name];
  if (activation) return activation;
  ctx.addIssue({
    code: 'custom',
    message: `unknown activation "${name}"; known: ${Object.keys(ACTIVATIONS).join(', ')}`,
  });
  return z.NEVER;
});

export const count = z.number().int().positive();
export const tokenId = z.number().int().nonnegative();
/** One id, several, or none. */
export const tokenIds = z
  .union([tokenId, z.array(tokenId)])
  .nullish()
  .transform((ids) => (ids === null || ids === undefined ? [] : Array.isArray(ids) ? ids : [ids]));

/** Parses a config with the schema of its family. Throws LF_ENGINE_MODEL_CONFIG with the field and what was expected. */
export function parseConfig<T>(schema: z.ZodType<T>, raw: Readonly<Record<string, unknown>>): T {
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${issue.path.join('.') || 'config'}: ${issue.message}`);
  throw modelErrors.MODEL_CONFIG({ modelType: String(raw.model_type), problems });
}
