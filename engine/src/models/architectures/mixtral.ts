import { z } from 'zod';
import { count, parseConfig } from '../config.js';
import { checkExperts, QWEN_EXPERTS } from './experts.js';
import { llamaFields, llamaLike, llamaLikeConfig } from './llama-like.js';

const schema = z.looseObject({
  ...llamaFields,
  num_key_value_heads: count.nullish().transform((heads) => (heads === undefined ? 8 : heads)),
  max_position_embeddings: count.default(131072),
  rms_norm_eps: z.number().positive().default(1e-5),
  rope_theta: z.number().positive().default(1e6),
  sliding_window: count.nullish(),
  num_local_experts: count.default(8),
  num_experts_per_tok: count.default(2),
});

/** Mixtral (Jiang et al. 2024): Mistral whose feed-forwards are experts. */
export const mixtral = llamaLike(['mixtral'], (raw) => {
  const fields = parseConfig(schema, raw);
  return llamaLikeConfig(fields, raw, {
    attentionBias: { qkv: false, output: false },
    mlpBias: false,
    qkNorm: false,
    windows: new Array(fields.num_hidden_layers).fill(fields.sliding_window ?? 0),
    experts: checkExperts(fields.model_type, {
      count: fields.num_local_experts,
      perToken: fields.num_experts_per_tok,
      intermediateSize: fields.intermediate_size,
      normalize: true,
      sharedIntermediateSize: 0,
      layers: new Array(fields.num_hidden_layers).fill(true),
      modules: {
        ...QWEN_EXPERTS,
        router: 'block_sparse_moe.gate',
        experts: 'block_sparse_moe.experts',
        names: ['w1', 'w3', 'w2'],
      },
    }),
  });
});
