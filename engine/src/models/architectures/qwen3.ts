import { z } from 'zod';
import { count, parseConfig } from '../config.js';
import { llamaFields, llamaLike, llamaLikeConfig, qwenWindows, windowFields } from './llama-like.js';

const schema = z.looseObject({
  ...llamaFields,
  ...windowFields,
  max_position_embeddings: count.default(32768),
  attention_bias: z.boolean().default(false),
});

/** Each head of queries and keys is normalised; heads are 128 wide unless the config says otherwise. */
export const qwen3 = llamaLike(['qwen3'], (raw) => {
  const fields = parseConfig(schema, raw);
  return llamaLikeConfig(fields, raw, {
    attentionBias: { qkv: fields.attention_bias, output: fields.attention_bias },
    mlpBias: false,
    qkNorm: true,
    windows: qwenWindows(fields, fields.num_hidden_layers),
    headDim: 128,
  });
});
