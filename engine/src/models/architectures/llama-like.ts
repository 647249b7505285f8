import { z } from 'zod';
import { count, type DecoderConfig, hiddenAct, tokenId, tokenIds } from '../config.js';
import { DecoderModel } from '../decoder.js';
import { LLAMA_MODULES } from '../decoder-modules.js';
import { modelErrors } from '../errors.js';
import { parseRope, ropeFields } from '../rope.js';
import type { Architecture } from './architecture.js';

/** Fields that Llama, Mistral and Qwen have in common. Unknown fields of config.json are let be. */
export const llamaFields = {
  model_type: z.string(),
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  hidden_act: hiddenAct.default('silu'),
  max_position_embeddings: count.default(2048),
  initializer_range: z.number().positive().default(0.02),
  rms_norm_eps: z.number().positive().default(1e-6),
  tie_word_embeddings: z.boolean().default(false),
  bos_token_id: tokenId.nullish(),
  eos_token_id: tokenIds,
  pad_token_id: tokenId.nullish(),
  ...ropeFields,
};

const schema = z.looseObject(llamaFields);
export type LlamaFields = z.infer<typeof schema>;

type Particular = Pick<DecoderConfig, 'attentionBias' | 'mlpBias' | 'qkNorm' | 'windows'> & Partial<DecoderConfig>;

/** The config of a family that differs from Llama in a few particulars only. */
export function llamaLikeConfig(
  fields: LlamaFields,
  raw: Readonly<Record<string, unknown>>,
  { headDim: familyHeadDim, ...particular }: Particular & { headDim?: number },
): DecoderConfig {
  const modelType = fields.model_type;
  const fail = (path: string, problem: string): never => {
    throw modelErrors.MODEL_CONFIG({ modelType, problems: [`${path}: ${problem}`] });
  };
  const numHeads = fields.num_attention_heads;
  const numKvHeads = fields.num_key_value_heads ?? numHeads;
  if (numHeads % numKvHeads !== 0) {
    fail('num_key_value_heads', `${numHeads} attention heads cannot share ${numKvHeads} key-value heads evenly`);
  }
  const headDim = fields.head_dim ?? familyHeadDim ?? fields.hidden_size / numHeads;
  if (!Number.isInteger(headDim)) fail('hidden_size', `${fields.hidden_size} does not divide by ${numHeads} heads`);
  const maxPositions = fields.max_position_embeddings;
  return {
    kind: 'decoder',
    modelType,
    vocabSize: fields.vocab_size,
    hiddenSize: fields.hidden_size,
    intermediateSize: fields.intermediate_size,
    numLayers: fields.num_hidden_layers,
    numHeads,
    numKvHeads,
    headDim,
    maxPositions,
    norm: { kind: 'rms', eps: fields.rms_norm_eps, offset: 0 },
    activation: fields.hidden_act,
    tieWordEmbeddings: fields.tie_word_embeddings,
    embeddingScale: 1,
    attentionScales: new Array(fields.num_hidden_layers).fill(1 / Math.sqrt(headDim)),
    attentionSoftcap: 0,
    logitSoftcap: 0,
    parallelResidual: false,
    localRope: undefined,
    experts: undefined,
    modules: LLAMA_MODULES,
    rope: parseRope(fields, { headDim, maxPositions }, fail),
    bosTokenId: fields.bos_token_id ?? undefined,
    eosTokenIds: fields.eos_token_id,
    padTokenId: fields.pad_token_id ?? undefined,
    initializerRange: fields.initializer_range,
    raw,
    ...particular,
  };
}

export const layerTypes = z.array(z.enum(['full_attention', 'sliding_attention'])).nullish();

/** The window of each layer by its type; 0 sees everything before it. */
export function windowsOf(types: readonly string[], window: number): number[] {
  return types.map((type) => (type === 'sliding_attention' ? window : 0));
}

export const windowFields = {
  sliding_window: count.nullish(),
  use_sliding_window: z.boolean().default(false),
  max_window_layers: z.number().int().nonnegative().default(28),
  layer_types: layerTypes,
};
const windowSchema = z.object(windowFields);

/** Windows of each layer in the Qwen families: by `layer_types`, else of the layers from `max_window_layers` on. */
export function qwenWindows(fields: z.infer<typeof windowSchema>, numLayers: number): number[] {
  const window = fields.use_sliding_window ? (fields.sliding_window ?? 0) : 0;
  return Array.from({ length: numLayers }, (_, layer) => {
    const slides = fields.layer_types
      ? fields.layer_types[layer] === 'sliding_attention'
      : layer >= fields.max_window_layers;
    return slides ? window : 0;
  });
}

/** A family whose tensors are named and used as Llama's are. */
export function llamaLike(
  modelTypes: readonly string[],
  parse: (raw: Readonly<Record<string, unknown>>) => DecoderConfig,
): Architecture {
  return {
    modelTypes,
    prefix: 'model.',
    parse,
    build: (device, dtype, config, weights) => new DecoderModel(device, dtype, config as DecoderConfig, weights),
  };
}
