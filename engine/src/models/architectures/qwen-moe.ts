import { z } from 'zod';
import { count, parseConfig } from '../config.js';
import { checkExperts, QWEN_EXPERTS } from './experts.js';
import { llamaFields, llamaLike, llamaLikeConfig, windowFields, windowsOf } from './llama-like.js';

const sparseFields = {
  ...llamaFields,
  ...windowFields,
  max_position_embeddings: count.default(32768),
  num_experts: count,
  num_experts_per_tok: count,
  moe_intermediate_size: count,
  decoder_sparse_step: count.default(1),
  mlp_only_layers: z.array(z.number().int().nonnegative()).nullish(),
  norm_topk_prob: z.boolean().default(false),
};
const sparseSchema = z.object(sparseFields);

function expertsOf(fields: z.infer<typeof sparseSchema>, sharedIntermediateSize: number) {
  const dense = new Set(fields.mlp_only_layers);
  return checkExperts(fields.model_type, {
    count: fields.num_experts,
    perToken: fields.num_experts_per_tok,
    intermediateSize: fields.moe_intermediate_size,
    normalize: fields.norm_topk_prob,
    sharedIntermediateSize,
    layers: Array.from(
      { length: fields.num_hidden_layers },
      (_, layer) => !dense.has(layer) && (layer + 1) % fields.decoder_sparse_step === 0,
    ),
    modules: QWEN_EXPERTS,
  });
}

const qwen2Schema = z.looseObject({
  ...sparseFields,
  num_experts: count.default(60),
  num_experts_per_tok: count.default(4),
  moe_intermediate_size: count.default(1408),
  shared_expert_intermediate_size: count.default(5632),
  qkv_bias: z.boolean().default(true),
});

/** Qwen 1.5 and 2 with experts, one of which every token goes to. */
export const qwen2Moe = llamaLike(['qwen2_moe'], (raw) => {
  const fields = parseConfig(qwen2Schema, raw);
  const types =
    fields.layer_types ??
    Array.from({ length: fields.num_hidden_layers }, (_, layer) =>
      layer % 2 === 0 && layer < fields.max_window_layers ? 'sliding_attention' : 'full_attention',
    );
  return llamaLikeConfig(fields, raw, {
    attentionBias: { qkv: fields.qkv_bias, output: false },
    mlpBias: false,
    qkNorm: false,
    windows: windowsOf(types, fields.use_sliding_window ? (fields.sliding_window ?? 0) : 0),
    experts: expertsOf(fields, fields.shared_expert_intermediate_size),
  });
});

const qwen3Schema = z.looseObject({
  ...sparseFields,
  num_experts: count.default(128),
  num_experts_per_tok: count.default(8),
  moe_intermediate_size: count.default(768),
  attention_bias: z.boolean().default(false),
});

/** Qwen 3 with experts. */
export const qwen3Moe = llamaLike(['qwen3_moe'], (raw) => {
  const fields = parseConfig(qwen3Schema, raw);
  const window = fields.use_sliding_window ? (fields.sliding_window ?? 0) : 0;
  return llamaLikeConfig(fields, raw, {
    attentionBias: { qkv: fields.attention_bias, output: fields.attention_bias },
    mlpBias: false,
    qkNorm: true,
    windows: new Array(fields.num_hidden_layers).fill(window),
    experts: expertsOf(fields, 0),
  });
});
