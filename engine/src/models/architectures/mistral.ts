import { z } from 'zod';
import { count, parseConfig } from '../config.js';
import { llamaFields, llamaLike, llamaLikeConfig } from './llama-like.js';

const schema = z.looseObject({
  ...llamaFields,
  max_position_embeddings: count.default(131072),
  num_key_value_heads: count.nullish().transform((heads) => (heads === undefined ? 8 : heads)),
  /** Absent is Mistral 7B v0.1's 4096; null is none. */
  sliding_window: count.nullable().default(4096),
});

export const mistral = llamaLike(['mistral'], (raw) => {
  const fields = parseConfig(schema, raw);
  return llamaLikeConfig(fields, raw, {
    attentionBias: { qkv: false, output: false },
    mlpBias: false,
    qkNorm: false,
    windows: new Array(fields.num_hidden_layers).fill(fields.sliding_window ?? 0),
  });
});
