import { z } from 'zod';
import { count, type EncoderConfig, hiddenAct, parseConfig, tokenId } from '../config.js';
import { BertModel } from '../encoder.js';
import { modelErrors } from '../errors.js';
import type { Architecture } from './architecture.js';

const schema = z.looseObject({
  model_type: z.string(),
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  hidden_act: hiddenAct.default('gelu'),
  max_position_embeddings: count.default(512),
  type_vocab_size: count.default(2),
  layer_norm_eps: z.number().positive().default(1e-12),
  initializer_range: z.number().positive().default(0.02),
  pad_token_id: tokenId.nullish(),
  is_decoder: z.literal(false).optional(),
  position_embedding_type: z.literal('absolute').optional(),
});

/** BERT and the sentence encoders built on it (MiniLM, BGE, E5). */
export const bert: Architecture = {
  modelTypes: ['bert'],
  prefix: 'bert.',
  parse(raw): EncoderConfig {
    const fields = parseConfig(schema, raw);
    const headDim = fields.hidden_size / fields.num_attention_heads;
    if (!Number.isInteger(headDim)) {
      const problem = `hidden_size: ${fields.hidden_size} does not divide by ${fields.num_attention_heads} heads`;
      throw modelErrors.MODEL_CONFIG({ modelType: fields.model_type, problems: [problem] });
    }
    return {
      kind: 'encoder',
      modelType: fields.model_type,
      vocabSize: fields.vocab_size,
      hiddenSize: fields.hidden_size,
      intermediateSize: fields.intermediate_size,
      numLayers: fields.num_hidden_layers,
      numHeads: fields.num_attention_heads,
      headDim,
      maxPositions: fields.max_position_embeddings,
      typeVocabSize: fields.type_vocab_size,
      normEps: fields.layer_norm_eps,
      activation: fields.hidden_act,
      padTokenId: fields.pad_token_id ?? undefined,
      initializerRange: fields.initializer_range,
      raw,
    };
  },
  build: (device, dtype, config, weights) => new BertModel(device, dtype, config as EncoderConfig, weights),
};
