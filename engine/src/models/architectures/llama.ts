import { z } from 'zod';
import { parseConfig } from '../config.js';
import { llamaFields, llamaLike, llamaLikeConfig } from './llama-like.js';

const schema = z.looseObject({
  ...llamaFields,
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
});

/** Llama 1 to 3, SmolLM, TinyLlama and others that say `llama`. */
export const llama = llamaLike(['llama', 'smollm'], (raw) => {
  const fields = parseConfig(schema, raw);
  return llamaLikeConfig(fields, raw, {
    attentionBias: { qkv: fields.attention_bias, output: fields.attention_bias },
    mlpBias: fields.mlp_bias,
    qkNorm: false,
    windows: new Array(fields.num_hidden_layers).fill(0),
  });
});
