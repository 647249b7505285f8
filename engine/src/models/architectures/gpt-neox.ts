import { z } from 'zod';
import { count, type DecoderConfig, hiddenAct, parseConfig } from '../config.js';
import { DecoderModel } from '../decoder.js';
import type { DecoderModules } from '../decoder-modules.js';
import { ropeFields } from '../rope.js';
import type { Architecture } from './architecture.js';
import { llamaFields, llamaLikeConfig } from './llama-like.js';

const schema = z.looseObject({
  ...llamaFields,
  ...ropeFields,
  hidden_act: hiddenAct.default('gelu'),
  intermediate_size: count.default(24576),
  layer_norm_eps: z.number().positive().default(1e-5),
  use_parallel_residual: z.boolean().default(true),
  attention_bias: z.boolean().default(true),
  /** What transformers calls partial_rotary_factor and rope_theta since version 5. */
  rotary_pct: z.number().positive().max(1).default(0.25),
  rotary_emb_base: z.number().positive().default(10000),
});

const MODULES: DecoderModules = {
  embedding: 'gpt_neox.embed_in',
  layers: 'gpt_neox.layers',
  finalNorm: 'gpt_neox.final_layer_norm',
  head: 'embed_out',
  attentionNorm: 'input_layernorm',
  feedForwardNorm: 'post_attention_layernorm',
  qkv: { kind: 'interleaved', name: 'attention.query_key_value' },
  attentionOutput: 'attention.dense',
  queryNorm: 'attention.q_norm',
  keyNorm: 'attention.k_norm',
  feedForward: { kind: 'plain', names: ['mlp.dense_h_to_4h', 'mlp.dense_4h_to_h'] },
  transposed: false,
};

/** GPT-NeoX (Black et al. 2022) and Pythia: rotation of a part of each head, attention and feed-forward in parallel. */
export const gptNeox: Architecture = {
  modelTypes: ['gpt_neox'],
  prefix: 'gpt_neox.',
  parse(raw): DecoderConfig {
    const fields = parseConfig(schema, raw);
    const rope = {
      ...fields,
      rope_theta: fields.rope_theta ?? fields.rotary_emb_base,
      partial_rotary_factor: fields.partial_rotary_factor ?? fields.rotary_pct,
    };
    return llamaLikeConfig({ ...rope, num_key_value_heads: undefined, head_dim: undefined }, raw, {
      norm: { kind: 'layer', eps: fields.layer_norm_eps, offset: 0 },
      attentionBias: { qkv: fields.attention_bias, output: fields.attention_bias },
      mlpBias: true,
      qkNorm: false,
      parallelResidual: fields.use_parallel_residual,
      windows: new Array(fields.num_hidden_layers).fill(0),
      modules: MODULES,
    });
  },
  build: (device, dtype, config, weights) => new DecoderModel(device, dtype, config as DecoderConfig, weights),
};
