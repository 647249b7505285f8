/** What the base model is made from; `make-base.mjs` and `check-split.mjs` read the same numbers. */
export const BASE_SEED = 1;
export const BASE_DOCUMENTS = 75_000;
export const TOKENIZER_DOCUMENTS = 20_000;
export const VOCABULARY = 768;

export const baseConfig = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: VOCABULARY,
  hidden_size: 160,
  intermediate_size: 448,
  num_hidden_layers: 6,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 40,
  hidden_act: 'silu',
  max_position_embeddings: 1024,
  initializer_range: 0.02,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  attention_bias: false,
  mlp_bias: false,
  tie_word_embeddings: true,
  bos_token_id: null,
  eos_token_id: 2,
  pad_token_id: 0,
  torch_dtype: 'bfloat16',
};

export const baseTraining = {
  epochs: 1,
  batchSize: 16,
  packing: 256,
  seed: 1,
  optimizer: { learningRate: 3e-3, weightDecay: 0.1, beta2: 0.95 },
  schedule: { type: 'linear', warmupSteps: 100 },
};

export const chatTemplate =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
