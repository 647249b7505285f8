import { formatErrors } from '../errors.js';
import type { GgufEntry } from '../gguf/write.js';
import { WRITABLE, writableFamily } from './families.js';

type Config = Readonly<Record<string, unknown>>;

/** What GGUF calls the architecture of a config.json. Throws LF_ENGINE_FILE_UNSUPPORTED for one that is not written. */
export function ggufArchitecture(path: string, config: Config): string {
  const architecture = WRITABLE.get(String(config.model_type));
  const fail = (reason: string) =>
    formatErrors.FILE_UNSUPPORTED({ path, reason, remedy: 'Quantise it as gptq or awq instead.' });
  if (!architecture) {
    const known = [...WRITABLE.keys()].join(', ');
    throw fail(`its model_type is ${String(config.model_type)}, which is not written as GGUF; known are ${known}`);
  }
  const scaling = scalingOf(config);
  if (scaling && !['linear', 'llama3'].includes(String(scaling.rope_type ?? scaling.type))) {
    throw fail(
      `its rotation is scaled as ${JSON.stringify(scaling.rope_type ?? scaling.type)}, which is not written as GGUF`,
    );
  }
  return architecture;
}

/** The metadata that describe a model, from its config.json. */
export function ggufMetadata(architecture: string, config: Config): Map<string, GgufEntry> {
  const number = (key: string, fallback?: number) => Number(config[key] ?? fallback);
  const heads = number('num_attention_heads');
  const headDim = number('head_dim', number('hidden_size') / heads);
  const entries: [string, GgufEntry | undefined][] = [
    ['context_length', { type: 'u32', value: number('max_position_embeddings') }],
    ['embedding_length', { type: 'u32', value: number('hidden_size') }],
    ['block_count', { type: 'u32', value: number('num_hidden_layers') }],
    ['feed_forward_length', { type: 'u32', value: number('intermediate_size') }],
    ['attention.head_count', { type: 'u32', value: heads }],
    ['attention.head_count_kv', { type: 'u32', value: number('num_key_value_heads', heads) }],
    ['attention.layer_norm_rms_epsilon', { type: 'f32', value: number('rms_norm_eps', 1e-6) }],
    ['attention.key_length', { type: 'u32', value: headDim }],
    ['attention.value_length', { type: 'u32', value: headDim }],
    ['rope.dimension_count', { type: 'u32', value: headDim * number('partial_rotary_factor', 1) }],
    ['rope.freq_base', { type: 'f32', value: number('rope_theta', Number(parameters(config).rope_theta ?? 10000)) }],
    ['vocab_size', { type: 'u32', value: number('vocab_size') }],
  ];
  const window = config.sliding_window;
  if (typeof window === 'number' && config.use_sliding_window !== false && architecture === 'llama') {
    entries.push(['attention.sliding_window', { type: 'u32', value: window }]);
  }
  const scaling = scalingOf(config);
  if ((scaling?.rope_type ?? scaling?.type) === 'linear') {
    entries.push(['rope.scaling.type', { type: 'string', value: 'linear' }]);
    entries.push(['rope.scaling.factor', { type: 'f32', value: Number(scaling!.factor) }]);
  }
  const metadata = new Map<string, GgufEntry>([['general.architecture', { type: 'string', value: architecture }]]);
  for (const [key, entry] of entries) if (entry) metadata.set(`${architecture}.${key}`, entry);
  return metadata;
}

/** rope_parameters of newer configs. */
const parameters = (config: Config) => (config.rope_parameters ?? {}) as Config;

function scalingOf(config: Config): Config | undefined {
  const scaling = (config.rope_scaling ?? config.rope_parameters) as Config | null | undefined;
  const type = scaling?.rope_type ?? scaling?.type;
  return type === undefined || type === 'default' ? undefined : scaling!;
}

/**
 * What each frequency of the rotation is divided by: the tensor rope_freqs.weight, which Llama 3.1 and those after it have
 * (transformers, `_compute_llama3_parameters`). Undefined for other models.
 */
export function ropeFactors(config: Config): Float32Array | undefined {
  const scaling = scalingOf(config);
  if (!scaling || (scaling.rope_type ?? scaling.type) !== 'llama3') return undefined;
  const [factor, low, high, original] = [
    'factor',
    'low_freq_factor',
    'high_freq_factor',
    'original_max_position_embeddings',
  ].map((key) => Number(scaling[key])) as [number, number, number, number];
  const headDim = Number(config.head_dim ?? Number(config.hidden_size) / Number(config.num_attention_heads));
  const base = Number(config.rope_theta ?? scaling.rope_theta ?? 10000);
  return Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * base ** ((2 * i) / headDim);
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

/** Where a tensor goes that Hugging Face calls so. */
export interface GgufPlace {
  readonly name: string;
  /** Inside of its block: "attn_q"; or outside of them: "token_embd". */
  readonly part: string;
  readonly layer: number | undefined;
  /** Rows of each head go from (i, i + half) to pairs (2i, 2i + 1). */
  readonly permuted: boolean;
}

/** Undefined for a tensor that the format has no place for. */
export function ggufPlace(architecture: string, name: string): GgufPlace | undefined {
  const family = writableFamily(architecture);
  const [, module = '', kind = ''] = name.match(/^(.*)\.(weight|bias)$/) ?? [];
  const inLayers = module.startsWith(`${family.layers}.`);
  const [, number, inner = ''] = inLayers ? (module.slice(family.layers.length + 1).match(/^(\d+)\.(.*)$/) ?? []) : [];
  const names = inLayers ? family.block : family.top;
  const part = Object.keys(names).find((key) => names[key] === (inLayers ? inner : module));
  if (part === undefined) return undefined;
  return {
    name: `${inLayers ? `blk.${number}.` : ''}${part}.${kind}`,
    part,
    layer: inLayers ? Number(number) : undefined,
    permuted: family.transforms.some(([pattern, transform]) => transform === 'unpermute-rope' && pattern.test(part)),
  };
}
