import { z } from 'zod';
import { count, parseConfig } from '../config.js';
import { llamaFields, llamaLike, llamaLikeConfig, qwenWindows, windowFields } from './llama-like.js';

const schema = z.looseObject({
  ...llamaFields,
  ...windowFields,
  max_position_embeddings: count.default(32768),
});

/** Queries, keys and values have biases, whatever the config says. */
export const qwen2 = llamaLike(['qwen2'], (raw) => {
  const fields = parseConfig(schema, raw);
  return llamaLikeConfig(fields, raw, {
    attentionBias: { qkv: true, output: false },
    mlpBias: false,
    qkNorm: false,
    windows: qwenWindows(fields, fields.num_hidden_layers),
  });
});
