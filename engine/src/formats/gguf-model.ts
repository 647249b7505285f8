import { formatErrors } from './errors.js';
import type { GgufValue } from './gguf/metadata.js';
import { type GgufFile, readGguf } from './gguf/read.js';
import { ggufTokenizer } from './gguf-tokenizer.js';
import type { ModelSource, TensorEntry } from './model-source.js';

/** Names of a block's tensors in GGUF and in Hugging Face's decoder models. */
const BLOCK_NAMES: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
};

const TOP_NAMES: Readonly<Record<string, string>> = {
  'token_embd.weight': 'model.embed_tokens.weight',
  'output_norm.weight': 'model.norm.weight',
  'output.weight': 'lm_head.weight',
};

/** GGUF architectures and what Hugging Face calls them. The llama family keeps q and k permuted. */
const ARCHITECTURES: Readonly<Record<string, { modelType: string; className: string; permuted: boolean }>> = {
  llama: { modelType: 'llama', className: 'LlamaForCausalLM', permuted: true },
  mistral: { modelType: 'mistral', className: 'MistralForCausalLM', permuted: true },
  qwen2: { modelType: 'qwen2', className: 'Qwen2ForCausalLM', permuted: false },
  qwen3: { modelType: 'qwen3', className: 'Qwen3ForCausalLM', permuted: false },
};

/** Reads a .gguf file as a model: Hugging Face's config and tensor names, and its tokenizer. */
export function readGgufModel(path: string): ModelSource {
  const file = readGguf(path);
  const name = String(file.metadata.get('general.architecture') ?? '');
  const architecture = Object.hasOwn(ARCHITECTURES, name) ? ARCHITECTURES[name] : undefined;
  if (!architecture) {
    throw formatErrors.FILE_UNSUPPORTED({
      path,
      reason: `its architecture is "${name}"; known from GGUF: ${Object.keys(ARCHITECTURES).join(', ')}`,
    });
  }
  const config = configOf(file, name, architecture);
  return {
    kind: 'gguf',
    path,
    config,
    tensors: tensorsOf(file, config, architecture.permuted),
    tokenizer: ggufTokenizer(file),
    generationConfig: { eos_token_id: config.eos_token_id, bos_token_id: config.bos_token_id },
  };
}

function configOf(
  file: GgufFile,
  prefix: string,
  { modelType, className }: { modelType: string; className: string },
): Record<string, unknown> {
  const value = (key: string): GgufValue | undefined => file.metadata.get(`${prefix}.${key}`);
  const number = (key: string, fallback?: number): number => {
    const found = value(key) ?? fallback;
    if (typeof found !== 'number' || !Number.isFinite(found)) {
      throw formatErrors.FILE_CORRUPT({
        path: file.path,
        reason: `the metadata entry ${prefix}.${key} is ${JSON.stringify(found) ?? 'missing'}`,
      });
    }
    return found;
  };
  const heads = number('attention.head_count');
  const hidden = number('embedding_length');
  const embedding = file.tensors.get('token_embd.weight');
  const token = (key: string) => file.metadata.get(`tokenizer.ggml.${key}_token_id`) as number | undefined;
  return {
    architectures: [className],
    model_type: modelType,
    vocab_size: embedding?.shape[0] ?? number('vocab_size'),
    hidden_size: hidden,
    intermediate_size: number('feed_forward_length'),
    num_hidden_layers: number('block_count'),
    num_attention_heads: heads,
    num_key_value_heads: number('attention.head_count_kv', heads),
    head_dim: number('attention.key_length', hidden / heads),
    max_position_embeddings: number('context_length'),
    rms_norm_eps: number('attention.layer_norm_rms_epsilon', 1e-6),
    rope_theta: number('rope.freq_base', 10000),
    ...ropeScaling(file, prefix),
    hidden_act: 'silu',
    attention_bias: file.tensors.has('blk.0.attn_q.bias') && modelType !== 'qwen2',
    mlp_bias: file.tensors.has('blk.0.ffn_gate.bias'),
    tie_word_embeddings: !file.tensors.has('output.weight'),
    bos_token_id: token('bos') ?? null,
    eos_token_id: token('eos') ?? null,
    ...(value('attention.sliding_window') !== undefined && { sliding_window: number('attention.sliding_window') }),
  };
}

function ropeScaling(file: GgufFile, prefix: string): Record<string, unknown> {
  const value = (key: string) => file.metadata.get(`${prefix}.rope.scaling.${key}`);
  const type = value('type');
  if (file.tensors.has('rope_freqs.weight')) {
    // The factors of llama 3's scaling, baked into a tensor: the parameters that made them are not in the file.
    throw formatErrors.FILE_UNSUPPORTED({
      path: file.path,
      reason:
        'it carries llama3 rope factors as a tensor (rope_freqs.weight) without the parameters that made them; use the Hugging Face folder of this model',
    });
  }
  if (type === undefined || type === 'none') return {};
  const original = value('original_context_length');
  return {
    rope_scaling: {
      rope_type: type,
      factor: value('factor'),
      ...(original !== undefined && { original_max_position_embeddings: original }),
      ...(value('attn_factor') !== undefined && { attention_factor: value('attn_factor') }),
    },
  };
}

function tensorsOf(file: GgufFile, config: Record<string, unknown>, permuted: boolean): Map<string, TensorEntry> {
  const tensors = new Map<string, TensorEntry>();
  const unknown: string[] = [];
  for (const { name: ggufName, dtype, shape, offset, bytes } of file.tensors.values()) {
    const name = huggingFaceName(ggufName);
    if (name === undefined) {
      unknown.push(ggufName);
      continue;
    }
    const heads = ggufName.includes('.attn_q.')
      ? config.num_attention_heads
      : ggufName.includes('.attn_k.')
        ? config.num_key_value_heads
        : undefined;
    tensors.set(name, {
      name,
      dtype,
      shape,
      file: file.path,
      offset,
      bytes,
      ...(permuted && typeof heads === 'number' && { transform: 'unpermute-rope' as const, heads }),
    });
  }
  if (unknown.length > 0) {
    throw formatErrors.FILE_UNSUPPORTED({
      path: file.path,
      reason: `it holds tensors that are not known: ${unknown.slice(0, 8).join(', ')}; known names are token_embd, output_norm, output and blk.N.{${Object.keys(BLOCK_NAMES).join(', ')}}`,
    });
  }
  return tensors;
}

function huggingFaceName(name: string): string | undefined {
  if (Object.hasOwn(TOP_NAMES, name)) return TOP_NAMES[name];
  const [, layer, part, kind] = name.match(/^blk\.(\d+)\.(\w+)\.(weight|bias)$/) ?? [];
  return part !== undefined && Object.hasOwn(BLOCK_NAMES, part)
    ? `model.layers.${layer}.${BLOCK_NAMES[part]}.${kind}`
    : undefined;
}
