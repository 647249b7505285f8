import { z } from 'zod';
import { count, type DecoderConfig, hiddenAct, parseConfig, tokenId, tokenIds } from '../config.js';
import { DecoderModel } from '../decoder.js';
import type { DecoderModules } from '../decoder-modules.js';
import { modelErrors } from '../errors.js';
import type { Architecture } from './architecture.js';

const schema = z.looseObject({
  model_type: z.string(),
  vocab_size: count.default(50257),
  n_positions: count.default(1024),
  n_embd: count.default(768),
  n_layer: count.default(12),
  n_head: count.default(12),
  n_inner: count.nullish(),
  activation_function: hiddenAct.default('gelu_tanh'),
  layer_norm_epsilon: z.number().positive().default(1e-5),
  initializer_range: z.number().positive().default(0.02),
  scale_attn_weights: z.boolean().default(true),
  scale_attn_by_inverse_layer_idx: z.boolean().default(false),
  add_cross_attention: z.literal(false).optional(),
  tie_word_embeddings: z.boolean().default(true),
  bos_token_id: tokenId.nullish(),
  eos_token_id: tokenIds,
  pad_token_id: tokenId.nullish(),
});

const MODULES: DecoderModules = {
  embedding: 'transformer.wte',
  positions: 'transformer.wpe',
  layers: 'transformer.h',
  finalNorm: 'transformer.ln_f',
  head: 'lm_head',
  attentionNorm: 'ln_1',
  feedForwardNorm: 'ln_2',
  qkv: { kind: 'stacked', name: 'attn.c_attn' },
  attentionOutput: 'attn.c_proj',
  queryNorm: 'attn.q_norm',
  keyNorm: 'attn.k_norm',
  feedForward: { kind: 'plain', names: ['mlp.c_fc', 'mlp.c_proj'] },
  transposed: true,
};

/** GPT-2 (Radford et al. 2019): learnt positions, LayerNorm, matrices kept as [in, out]. */
export const gpt2: Architecture = {
  modelTypes: ['gpt2'],
  prefix: 'transformer.',
  parse(raw): DecoderConfig {
    const fields = parseConfig(schema, raw);
    const { n_embd: hiddenSize, n_head: numHeads, n_layer: numLayers } = fields;
    const headDim = hiddenSize / numHeads;
    if (!Number.isInteger(headDim)) {
      const problems = [`n_embd: ${hiddenSize} does not divide by ${numHeads} heads`];
      throw modelErrors.MODEL_CONFIG({ modelType: fields.model_type, problems });
    }
    const scale = fields.scale_attn_weights ? 1 / Math.sqrt(headDim) : 1;
    return {
      kind: 'decoder',
      modelType: fields.model_type,
      vocabSize: fields.vocab_size,
      hiddenSize,
      intermediateSize: fields.n_inner ?? 4 * hiddenSize,
      numLayers,
      numHeads,
      numKvHeads: numHeads,
      headDim,
      maxPositions: fields.n_positions,
      norm: { kind: 'layer', eps: fields.layer_norm_epsilon, offset: 0 },
      activation: fields.activation_function,
      tieWordEmbeddings: fields.tie_word_embeddings,
      embeddingScale: 1,
      attentionBias: { qkv: true, output: true },
      mlpBias: true,
      qkNorm: false,
      attentionScales: Array.from({ length: numLayers }, (_, layer) =>
        fields.scale_attn_by_inverse_layer_idx ? scale / (layer + 1) : scale,
      ),
      attentionSoftcap: 0,
      logitSoftcap: 0,
      parallelResidual: false,
      rope: { theta: 1, dimensions: 2, interleaved: false, scaling: { type: 'none' } },
      localRope: undefined,
      experts: undefined,
      windows: new Array(numLayers).fill(0),
      modules: MODULES,
      bosTokenId: fields.bos_token_id ?? undefined,
      eosTokenIds: fields.eos_token_id,
      padTokenId: fields.pad_token_id ?? undefined,
      initializerRange: fields.initializer_range,
      raw,
    };
  },
  build: (device, dtype, config, weights) => new DecoderModel(device, dtype, config as DecoderConfig, weights),
};
