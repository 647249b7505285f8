import type { TensorTransform } from '../model-source.js';
import type { GgufFields } from './fields.js';
import { ropeScaling } from './rope-scaling.js';

/** A family of models as GGUF files have it, and what Hugging Face calls its parts. */
export interface GgufFamily {
  /** The fields of config.json. */
  config(fields: GgufFields): Record<string, unknown>;
  /** Hugging Face's names of tensors outside of the blocks, without `.weight` or `.bias`. */
  readonly top: Readonly<Record<string, string>>;
  /** What block N's names begin with, before the number. */
  readonly layers: string;
  /** Names inside of a block. `{e}` stands for the number of an expert, whose matrices GGUF keeps in one tensor. */
  readonly block: Readonly<Record<string, string>>;
  /** What is done to tensors of these names before they are what Hugging Face's are. */
  readonly transforms: readonly (readonly [names: RegExp, transform: TensorTransform])[];
}

const LLAMA_TOP = { token_embd: 'model.embed_tokens', output_norm: 'model.norm', output: 'lm_head' };
const LLAMA_ATTENTION = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  ffn_norm: 'post_attention_layernorm',
};
const LLAMA_FEED_FORWARD = { ffn_gate: 'mlp.gate_proj', ffn_up: 'mlp.up_proj', ffn_down: 'mlp.down_proj' };
const QWEN_EXPERTS = {
  ffn_gate_inp: 'mlp.gate',
  ffn_gate_exps: 'mlp.experts.{e}.gate_proj',
  ffn_up_exps: 'mlp.experts.{e}.up_proj',
  ffn_down_exps: 'mlp.experts.{e}.down_proj',
  ffn_gate_inp_shexp: 'mlp.shared_expert_gate',
  ffn_gate_shexp: 'mlp.shared_expert.gate_proj',
  ffn_up_shexp: 'mlp.shared_expert.up_proj',
  ffn_down_shexp: 'mlp.shared_expert.down_proj',
};
const PERMUTED = [[/^attn_[qk]$/, 'unpermute-rope']] as const;

/** Fields that every decoder has under the same names. */
function decoder(fields: GgufFields, modelType: string, className: string): Record<string, unknown> {
  const heads = fields.number('attention.head_count');
  const hidden = fields.number('embedding_length');
  return {
    architectures: [className],
    model_type: modelType,
    vocab_size: fields.file.tensors.get('token_embd.weight')?.shape[0] ?? fields.number('vocab_size'),
    hidden_size: hidden,
    intermediate_size: fields.number('feed_forward_length'),
    num_hidden_layers: fields.number('block_count'),
    num_attention_heads: heads,
    max_position_embeddings: fields.number('context_length'),
    tie_word_embeddings: !fields.hasTensor('output.weight'),
    bos_token_id: fields.token('bos'),
    eos_token_id: fields.token('eos'),
  };
}

function llamaLike(fields: GgufFields, modelType: string, className: string): Record<string, unknown> {
  const heads = fields.number('attention.head_count');
  const headDim = fields.number('attention.key_length', fields.number('embedding_length') / heads);
  const rotated = fields.number('rope.dimension_count', headDim);
  const window = fields.optional('attention.sliding_window');
  return {
    ...decoder(fields, modelType, className),
    num_key_value_heads: fields.number('attention.head_count_kv', heads),
    head_dim: headDim,
    rms_norm_eps: fields.number('attention.layer_norm_rms_epsilon', 1e-6),
    hidden_act: 'silu',
    rope_theta: fields.number('rope.freq_base', 10000),
    ...(rotated !== headDim && { partial_rotary_factor: rotated / headDim }),
    ...ropeScaling(fields),
    ...(window !== undefined && { sliding_window: window }),
  };
}

/** Fields of experts in the Qwen families. A layer without a router has one feed-forward. */
function qwenExperts(fields: GgufFields): Record<string, unknown> {
  const layers = Array.from({ length: fields.number('block_count') }, (_, layer) => layer);
  return {
    num_experts: fields.number('expert_count'),
    num_experts_per_tok: fields.number('expert_used_count'),
    moe_intermediate_size: fields.number('expert_feed_forward_length'),
    decoder_sparse_step: 1,
    mlp_only_layers: layers.filter((layer) => !fields.hasTensor(`blk.${layer}.ffn_gate_inp.weight`)),
  };
}

const llama: GgufFamily = {
  config: (fields) => ({
    ...llamaLike(fields, fields.prefix, fields.prefix === 'mistral' ? 'MistralForCausalLM' : 'LlamaForCausalLM'),
    attention_bias: fields.hasTensor('blk.0.attn_q.bias'),
    mlp_bias: fields.hasTensor('blk.0.ffn_gate.bias'),
  }),
  top: LLAMA_TOP,
  layers: 'model.layers',
  block: { ...LLAMA_ATTENTION, ...LLAMA_FEED_FORWARD },
  transforms: PERMUTED,
};

/** Files of Mixtral say that they are llama's, and have experts. */
const mixtral: GgufFamily = {
  config: (fields) => ({
    sliding_window: null,
    ...llamaLike(fields, 'mixtral', 'MixtralForCausalLM'),
    num_local_experts: fields.number('expert_count'),
    num_experts_per_tok: fields.number('expert_used_count'),
  }),
  top: LLAMA_TOP,
  layers: 'model.layers',
  block: {
    ...LLAMA_ATTENTION,
    ffn_gate_inp: 'block_sparse_moe.gate',
    ffn_gate_exps: 'block_sparse_moe.experts.{e}.w1',
    ffn_up_exps: 'block_sparse_moe.experts.{e}.w3',
    ffn_down_exps: 'block_sparse_moe.experts.{e}.w2',
  },
  transforms: PERMUTED,
};

const qwen = (config: GgufFamily['config']): GgufFamily => ({
  config,
  top: LLAMA_TOP,
  layers: 'model.layers',
  block: { ...LLAMA_ATTENTION, ...LLAMA_FEED_FORWARD, ...QWEN_EXPERTS },
  transforms: [],
});

const phi3: GgufFamily = {
  config: (fields) => llamaLike(fields, 'phi3', 'Phi3ForCausalLM'),
  top: LLAMA_TOP,
  layers: 'model.layers',
  block: {
    ...LLAMA_ATTENTION,
    attn_qkv: 'self_attn.qkv_proj',
    ffn_up: 'mlp.gate_up_proj',
    ffn_down: 'mlp.down_proj',
  },
  transforms: [],
};

/**
 * Gemma. Files do not say what scores are divided by: it is the root of the head's size, but for the largest model of
 * each generation, where llama.cpp goes by the number of layers as well.
 */
const gemma = (modelType: string, className: string, largest: number): GgufFamily => ({
  config: (fields) => {
    const { hidden_act: activation, ...common } = llamaLike(fields, modelType, className);
    const heads = fields.number('attention.head_count');
    const headDim = fields.number('attention.key_length', 256);
    return {
      ...common,
      hidden_activation: activation && 'gelu_pytorch_tanh',
      head_dim: headDim,
      query_pre_attn_scalar:
        fields.number('block_count') === largest ? fields.number('embedding_length') / heads : headDim,
      attn_logit_softcapping: fields.optional('attn_logit_softcapping') ?? null,
      final_logit_softcapping: fields.optional('final_logit_softcapping') ?? null,
      ...(modelType === 'gemma3_text' && { rope_local_base_freq: fields.number('rope.freq_base_swa', 10000) }),
    };
  },
  top: LLAMA_TOP,
  layers: 'model.layers',
  block: {
    ...LLAMA_ATTENTION,
    ...LLAMA_FEED_FORWARD,
    ffn_norm: 'pre_feedforward_layernorm',
    post_attention_norm: 'post_attention_layernorm',
    post_ffw_norm: 'post_feedforward_layernorm',
  },
  transforms: [[/norm$/, 'plus-one']],
});

const gpt2: GgufFamily = {
  config: (fields) => {
    const { vocab_size, tie_word_embeddings, bos_token_id, eos_token_id } = decoder(fields, 'gpt2', 'GPT2LMHeadModel');
    return {
      architectures: ['GPT2LMHeadModel'],
      model_type: 'gpt2',
      vocab_size,
      n_positions: fields.number('context_length'),
      n_embd: fields.number('embedding_length'),
      n_layer: fields.number('block_count'),
      n_head: fields.number('attention.head_count'),
      n_inner: fields.number('feed_forward_length'),
      activation_function: 'gelu_new',
      layer_norm_epsilon: fields.number('attention.layer_norm_epsilon'),
      tie_word_embeddings,
      bos_token_id,
      eos_token_id,
    };
  },
  top: {
    token_embd: 'transformer.wte',
    position_embd: 'transformer.wpe',
    output_norm: 'transformer.ln_f',
    output: 'lm_head',
  },
  layers: 'transformer.h',
  block: {
    attn_norm: 'ln_1',
    attn_qkv: 'attn.c_attn',
    attn_output: 'attn.c_proj',
    ffn_norm: 'ln_2',
    ffn_up: 'mlp.c_fc',
    ffn_down: 'mlp.c_proj',
  },
  transforms: [[/^(attn_qkv|attn_output|ffn_up|ffn_down)$/, 'transposed']],
};

const gptNeox: GgufFamily = {
  config: (fields) => {
    const headDim = fields.number('embedding_length') / fields.number('attention.head_count');
    return {
      ...decoder(fields, 'gpt_neox', 'GPTNeoXForCausalLM'),
      hidden_act: 'gelu',
      layer_norm_eps: fields.number('attention.layer_norm_epsilon'),
      use_parallel_residual: fields.flag('use_parallel_residual', true),
      attention_bias: fields.hasTensor('blk.0.attn_qkv.bias'),
      rotary_pct: fields.number('rope.dimension_count', headDim) / headDim,
      rotary_emb_base: fields.number('rope.freq_base', 10000),
    };
  },
  top: {
    token_embd: 'gpt_neox.embed_in',
    output_norm: 'gpt_neox.final_layer_norm',
    output: 'embed_out',
  },
  layers: 'gpt_neox.layers',
  block: {
    attn_norm: 'input_layernorm',
    attn_qkv: 'attention.query_key_value',
    attn_output: 'attention.dense',
    ffn_norm: 'post_attention_layernorm',
    ffn_up: 'mlp.dense_h_to_4h',
    ffn_down: 'mlp.dense_4h_to_h',
  },
  transforms: [[/^attn_qkv$/, 'stacked-heads']],
};

const FAMILIES: Readonly<Record<string, GgufFamily>> = {
  llama,
  mistral: llama,
  qwen2: qwen((fields) => llamaLike(fields, 'qwen2', 'Qwen2ForCausalLM')),
  qwen3: qwen((fields) => ({
    ...llamaLike(fields, 'qwen3', 'Qwen3ForCausalLM'),
    attention_bias: fields.hasTensor('blk.0.attn_q.bias'),
  })),
  qwen2moe: qwen((fields) => ({
    ...llamaLike(fields, 'qwen2_moe', 'Qwen2MoeForCausalLM'),
    ...qwenExperts(fields),
    shared_expert_intermediate_size: fields.number('expert_shared_feed_forward_length'),
    qkv_bias: fields.hasTensor('blk.0.attn_q.bias'),
    norm_topk_prob: false,
  })),
  qwen3moe: qwen((fields) => ({
    ...llamaLike(fields, 'qwen3_moe', 'Qwen3MoeForCausalLM'),
    ...qwenExperts(fields),
    attention_bias: fields.hasTensor('blk.0.attn_q.bias'),
    norm_topk_prob: true,
  })),
  phi3,
  gemma2: gemma('gemma2', 'Gemma2ForCausalLM', 46),
  gemma3: gemma('gemma3_text', 'Gemma3ForCausalLM', 62),
  gpt2,
  gptneox: gptNeox,
};

export const GGUF_ARCHITECTURES = Object.keys(FAMILIES);

/** The family of a file, by its architecture; undefined when it is not known. */
export function familyOf(fields: GgufFields): GgufFamily | undefined {
  if (!Object.hasOwn(FAMILIES, fields.prefix)) return undefined;
  const family = FAMILIES[fields.prefix];
  return family === llama && (fields.optional('expert_count') ?? 0) > 0 ? mixtral : family;
}

/** Families that models are written as, by Hugging Face's `model_type`: the name of the architecture in GGUF. */
export const WRITABLE: ReadonlyMap<string, string> = new Map([
  ['llama', 'llama'],
  ['mistral', 'llama'],
  ['qwen2', 'qwen2'],
  ['qwen3', 'qwen3'],
]);

/** The family of an architecture that is written. */
export const writableFamily = (architecture: string): GgufFamily => FAMILIES[architecture]!;
