import { z } from 'zod';
import { count, type DecoderConfig, hiddenAct, parseConfig } from '../config.js';
import { type DecoderModules, LLAMA_MODULES } from '../decoder-modules.js';
import { modelErrors } from '../errors.js';
import { parseRope, ropeParameters } from '../rope.js';
import { layerTypes, llamaFields, llamaLike, llamaLikeConfig, windowsOf } from './llama-like.js';

const softcap = z.number().positive().nullish();

const gemmaFields = {
  ...llamaFields,
  head_dim: count.default(256),
  num_attention_heads: count.default(8),
  num_key_value_heads: count.default(4),
  hidden_activation: hiddenAct.default('gelu_tanh'),
  tie_word_embeddings: z.boolean().default(true),
  attention_bias: z.boolean().default(false),
  query_pre_attn_scalar: z.number().positive().default(256),
  sliding_window: count.nullable().default(4096),
  layer_types: layerTypes,
  final_logit_softcapping: softcap,
  attn_logit_softcapping: softcap,
  use_bidirectional_attention: z.literal(false).nullish(),
};
const gemmaSchema = z.object(gemmaFields);

const MODULES: DecoderModules = {
  ...LLAMA_MODULES,
  attentionOutputNorm: 'post_attention_layernorm',
  feedForwardNorm: 'pre_feedforward_layernorm',
  feedForwardOutputNorm: 'post_feedforward_layernorm',
};

/** `full` of every so many layers, in order, see all positions when the config does not name them. */
function gemmaConfig(
  fields: z.infer<typeof gemmaSchema>,
  raw: Readonly<Record<string, unknown>>,
  { every, ...particular }: { every: number } & Partial<DecoderConfig>,
): DecoderConfig {
  const layers = fields.num_hidden_layers;
  const types =
    fields.layer_types ??
    Array.from({ length: layers }, (_, layer) => ((layer + 1) % every ? 'sliding_attention' : 'full_attention'));
  return llamaLikeConfig(fields, raw, {
    norm: { kind: 'rms', eps: fields.rms_norm_eps, offset: 1 },
    activation: fields.hidden_activation,
    embeddingScale: Math.sqrt(fields.hidden_size),
    attentionBias: { qkv: fields.attention_bias, output: fields.attention_bias },
    mlpBias: false,
    qkNorm: false,
    attentionScales: new Array(layers).fill(1 / Math.sqrt(fields.query_pre_attn_scalar)),
    attentionSoftcap: fields.attn_logit_softcapping ?? 0,
    logitSoftcap: fields.final_logit_softcapping ?? 0,
    windows: windowsOf(types, fields.sliding_window ?? 0),
    modules: MODULES,
    ...particular,
  });
}

const gemma2Schema = z.looseObject({
  ...gemmaFields,
  max_position_embeddings: count.default(8192),
  // Absent is the family's own; null is none.
  final_logit_softcapping: softcap.default(30),
  attn_logit_softcapping: softcap.default(50),
});

/** Gemma 2: norms on both sides of each sublayer, soft caps, every other layer with a window. */
export const gemma2 = llamaLike(['gemma2'], (raw) => gemmaConfig(parseConfig(gemma2Schema, raw), raw, { every: 2 }));

const gemma3Schema = z.looseObject({
  ...gemmaFields,
  max_position_embeddings: count.default(131072),
  sliding_window_pattern: count.default(6),
  rope_local_base_freq: z.number().positive().default(10_000),
  /** For each type of layer, since version 5 of transformers. */
  rope_parameters: z
    .looseObject({ full_attention: ropeParameters.nullish(), sliding_attention: ropeParameters.nullish() })
    .nullish(),
});

/** Gemma 3 without its eyes: heads are normalised, and layers with a window have a rotation of their own. */
export const gemma3 = llamaLike(['gemma3_text'], (raw) => {
  const { rope_parameters: ropes, rope_scaling: scaling, ...fields } = parseConfig(gemma3Schema, raw);
  const shape = { headDim: fields.head_dim, maxPositions: fields.max_position_embeddings };
  const fail = (path: string, problem: string): never => {
    throw modelErrors.MODEL_CONFIG({ modelType: fields.model_type, problems: [`${path}: ${problem}`] });
  };
  const full = { rope_theta: fields.rope_theta ?? 1e6, ...ropes?.full_attention, ...scaling };
  const sliding = { rope_theta: fields.rope_local_base_freq, ...ropes?.sliding_attention };
  return gemmaConfig(fields, raw, {
    every: fields.sliding_window_pattern,
    qkNorm: true,
    rope: parseRope({ ...fields, rope_parameters: full }, shape, fail),
    localRope: parseRope({ ...fields, rope_parameters: sliding }, shape, fail),
  });
});
