import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import type { TensorEntry } from '../formats/model-source.js';
import { packSequences } from './batch.js';
import type { DecoderConfig } from './config.js';
import { difference, fixture, golden, goldenFiles, readTensors } from './golden.fixture.js';
import { asCausal, createModel, loadModelFiles, parseModelConfig } from './load.js';
import type { WeightFiles } from './weights.js';

let device: Device;
let folder: string;
beforeAll(() => {
  device = cpuDevice();
  folder = mkdtempSync(join(tmpdir(), 'largeforge-'));
});
afterAll(() => {
  device.close();
  rmSync(folder, { recursive: true });
});

/** Files with tensors renamed, dropped or changed. */
function changed(name: string, change: (tensor: TensorEntry) => TensorEntry | undefined): WeightFiles {
  const files = goldenFiles(name);
  const tensors = [...files.tensors.values()].flatMap((tensor) => change(tensor) ?? []);
  return { ...files, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])) };
}

function failure(files: WeightFiles): { code: string; message: string } {
  try {
    loadModelFiles(device, files, { dtype: 'f32' }).dispose();
  } catch (error) {
    return error as { code: string; message: string };
  }
  throw new Error('it loaded');
}

async function logitsOf(
  files: WeightFiles,
  { dtype = 'f32', of = 'llama' }: { dtype?: 'f32' | 'bf16'; of?: string } = {},
): Promise<Float32Array> {
  using model = asCausal(loadModelFiles(device, files, { dtype }));
  using hidden = model.hidden(golden(of).batch);
  using logits = model.logits(hidden);
  return await logits.floats();
}

describe('what cannot be loaded is refused with what is known', () => {
  test('an unknown type of model', () => {
    expect(failure({ ...goldenFiles('llama'), config: { model_type: 'mamba' } })).toMatchObject({
      code: 'LF_ENGINE_UNKNOWN_ARCHITECTURE',
      message: expect.stringMatching(/"mamba".*bert, gemma2, .*llama, mistral, mixtral/),
    });
    expect(failure({ ...goldenFiles('llama'), config: {} })).toMatchObject({ code: 'LF_ENGINE_UNKNOWN_ARCHITECTURE' });
  });

  test('missing tensors, all of them at once', () => {
    const files = changed('llama', (t) => (/q_proj\.weight|model\.norm/.test(t.name) ? undefined : t));
    expect(failure(files)).toMatchObject({
      code: 'LF_ENGINE_MISSING_TENSORS',
      message: expect.stringMatching(
        /lack 3 tensors: .*layers\.0\.self_attn\.q_proj\.weight, .*layers\.1.*, model\.norm\.weight/,
      ),
    });
  });

  test('tensors that the model does not have', () => {
    const files = changed('llama', (t) => (t.name === 'lm_head.weight' ? { ...t, name: 'lm_head.qweight' } : t));
    expect(failure(files)).toMatchObject({ code: 'LF_ENGINE_MISSING_TENSORS' });
    const more = goldenFiles('llama');
    const extra = { ...more.tensors.get('model.norm.weight')!, name: 'model.layers.2.mlp.up_proj.weight' };
    expect(failure({ ...more, tensors: new Map([...more.tensors, [extra.name, extra]]) })).toMatchObject({
      code: 'LF_ENGINE_UNKNOWN_TENSORS',
      message: expect.stringMatching(/model\.layers\.2\.mlp\.up_proj\.weight/),
    });
  });

  test('a tensor of another shape', () => {
    const files = { ...goldenFiles('llama'), config: { ...goldenFiles('llama').config, intermediate_size: 44 } };
    expect(failure(files)).toMatchObject({
      code: 'LF_ENGINE_TENSOR_SHAPE',
      message: expect.stringMatching(/gate_proj\.weight is \[40, 32\] in the file, but the config asks for \[44, 32\]/),
    });
  });

  test('a tensor that is no weight', () => {
    const files = changed('llama', (t) => (t.name === 'model.norm.weight' ? { ...t, dtype: 'i32' } : t));
    expect(failure(files)).toMatchObject({ code: 'LF_ENGINE_TENSOR_DTYPE' });
  });

  test.each([
    [{ hidden_size: '32' }, /hidden_size/],
    [{ num_key_value_heads: 3 }, /num_key_value_heads: 4 attention heads cannot share 3/],
    [{ hidden_act: 'swiglu' }, /hidden_act: unknown activation "swiglu"; known: silu/],
    [{ rope_scaling: { type: 'su', factor: 2 } }, /rope_scaling\.rope_type: unknown kind "su"; known: default, linear/],
    [{ rope_scaling: { type: 'linear' } }, /rope_scaling\.factor: is required for linear/],
    [{ head_dim: 7 }, /7 rotated elements/],
    [{ vocab_size: undefined }, /vocab_size/],
  ])('a config with %j', (change, message) => {
    const files = goldenFiles('llama');
    expect(failure({ ...files, config: { ...files.config, ...change } })).toMatchObject({
      code: 'LF_ENGINE_MODEL_CONFIG',
      message: expect.stringMatching(message),
    });
  });

  test('an encoder where text is to be generated', () => {
    using model = loadModelFiles(device, goldenFiles('bert'));
    expect(() => asCausal(model)).toThrow(/bert model is an encoder/);
  });
});

test('names may lack the prefix, and carry what is no weight', async () => {
  const bare = changed('llama', (t) => ({ ...t, name: t.name.replace(/^model\./, '') }));
  const buffer = { ...bare.tensors.get('norm.weight')!, name: 'layers.0.self_attn.rotary_emb.inv_freq' };
  const files = { ...bare, tensors: new Map([...bare.tensors, [buffer.name, buffer]]) };
  expect(difference(await logitsOf(files), golden('llama').floats('logits'))).toBeLessThan(1e-4);
});

test('a head that is stored beside tied embeddings is not used', async () => {
  const files = goldenFiles('llama-tied');
  const copy = { ...files.tensors.get('model.embed_tokens.weight')!, name: 'lm_head.weight' };
  using model = loadModelFiles(device, { ...files, tensors: new Map([...files.tensors, [copy.name, copy]]) });
  expect([...model.parameters().keys()]).not.toContain('lm_head.weight');
});

test('queries and keys with interleaved pairs, as GGUF stores them, give the same logits', async () => {
  const values = readTensors(fixture('llama/model.safetensors'));
  const files = changed('llama', (tensor) => {
    const projection = /self_attn\.(q|k)_proj\.weight$/.exec(tensor.name)?.[1];
    if (!projection) return tensor;
    const heads = projection === 'q' ? 4 : 2;
    const [rows, columns] = tensor.shape as [number, number];
    const half = rows / heads / 2;
    const original = values.floats(tensor.name);
    const permuted = new Float32Array(original.length);
    for (let h = 0; h < heads; h++) {
      for (let j = 0; j < 2; j++) {
        for (let i = 0; i < half; i++) {
          const from = (h * 2 * half + j * half + i) * columns;
          permuted.set(original.subarray(from, from + columns), (h * 2 * half + 2 * i + j) * columns);
        }
      }
    }
    const file = join(folder, tensor.name);
    writeFileSync(file, new Uint8Array(permuted.buffer));
    return { ...tensor, file, offset: 0, transform: 'unpermute-rope', heads };
  });
  expect(difference(await logitsOf(files), golden('llama').floats('logits'))).toBeLessThan(1e-4);
  // Without the transform they are wrong.
  const plain = { ...files, tensors: new Map([...files.tensors].map(([k, t]) => [k, { ...t, transform: undefined }])) };
  expect(difference(await logitsOf(plain), golden('llama').floats('logits'))).toBeGreaterThan(1e-2);
});

test.each([
  ['gpt2', 'transformer.', ['h.0.attn.bias', 'h.0.attn.masked_bias']],
  ['gpt-neox', 'gpt_neox.', ['layers.0.attention.bias', 'layers.0.attention.rotary_emb.inv_freq']],
])('older files of %s lack the prefix and hold masks and frequencies', async (name, prefix, buffers) => {
  const files = changed(name, (tensor) => ({ ...tensor, name: tensor.name.replace(prefix, '') }));
  const [some] = files.tensors.values();
  const extra = buffers.map((buffer): [string, TensorEntry] => [buffer, { ...some!, name: buffer }]);
  const old = { ...files, tensors: new Map([...files.tensors, ...extra]) };
  expect(difference(await logitsOf(old, { of: name }), golden(name).floats('logits'))).toBeLessThan(1e-4);
});

test('experts are held once, in the type of the files', async () => {
  using model = loadModelFiles(device, goldenFiles('mixtral'), { dtype: 'f32' });
  const experts = model.parameters().get('model.layers.0.block_sparse_moe.experts.gate_up_proj')!;
  const before = device.stats().persistentBytes;
  const values = experts.value();
  await device.flush();
  const rounding = 64;
  expect(device.stats().persistentBytes - before).toBeLessThan(values.bytes + rounding);
  expect(experts.forward()).toBe(values);
  expect(experts.backward()).toBe(values);
});

/** A fixture with some tensors as GGUF stores them: `rewrite` gives a tensor's own values and shape. */
function stored(
  name: string,
  pattern: RegExp,
  entry: Partial<TensorEntry>,
  rewrite: (values: Float32Array, shape: readonly number[]) => { values: Float32Array; shape: readonly number[] },
): WeightFiles {
  const original = readTensors(fixture(`${name}/model.safetensors`));
  return changed(name, (tensor) => {
    if (!pattern.test(tensor.name)) return tensor;
    const { values, shape } = rewrite(original.floats(tensor.name), tensor.shape);
    const file = join(folder, `${name}.${tensor.name}`);
    writeFileSync(file, new Uint8Array(values.buffer));
    return { ...tensor, ...entry, file, offset: 0, shape };
  });
}

test('matrices that lie in the file the other way round than in Conv1D', async () => {
  const files = stored('gpt2', /(c_attn|c_fc|c_proj)\.weight$/, { transform: 'transposed' }, (values, shape) => {
    const [rows, columns] = shape as [number, number];
    return {
      values: values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!),
      shape: [columns, rows],
    };
  });
  expect(difference(await logitsOf(files, { of: 'gpt2' }), golden('gpt2').floats('logits'))).toBeLessThan(1e-4);
});

test('fused projections whose heads lie apart', async () => {
  const heads = 4;
  const files = stored('gpt-neox', /query_key_value/, { transform: 'stacked-heads', heads }, (values, shape) => {
    const one = values.length / heads / 3;
    const apart = new Float32Array(values.length);
    for (let h = 0; h < heads; h++)
      for (let part = 0; part < 3; part++)
        apart.set(values.subarray((h * 3 + part) * one, (h * 3 + part + 1) * one), (part * heads + h) * one);
    return { values: apart, shape };
  });
  expect(difference(await logitsOf(files, { of: 'gpt-neox' }), golden('gpt-neox').floats('logits'))).toBeLessThan(1e-4);
});

test('norms that count from 0 in the file and from 1 in the model', async () => {
  const files = stored('gemma3', /norm\.weight$/, { transform: 'plus-one' }, (values, shape) => ({
    values: values.map((value) => value + 1),
    shape,
  }));
  expect(difference(await logitsOf(files, { of: 'gemma3' }), golden('gemma3').floats('logits'))).toBeLessThan(1e-4);
});

test('in bf16 logits stay near', async () => {
  const expected = golden('llama').floats('logits');
  const largest = Math.max(...expected.map(Math.abs));
  expect(difference(await logitsOf(goldenFiles('llama'), { dtype: 'bf16' }), expected) / largest).toBeLessThan(0.05);
});

describe('a model made from its config', () => {
  const config = { ...goldenFiles('qwen2').config, initializer_range: 0.05 };

  test('has weights of the right spread, norms of one, biases of zero, and depends on the seed alone', async () => {
    const read = async (seed: number, name: string) => {
      using model = createModel(device, config, { seed });
      return await model.parameters().get(name)!.value().floats();
    };
    const table = await read(1, 'model.embed_tokens.weight');
    const deviation = Math.sqrt(table.reduce((sum, x) => sum + x * x, 0) / table.length);
    expect(deviation).toBeGreaterThan(0.045);
    expect(deviation).toBeLessThan(0.055);
    expect(await read(1, 'model.embed_tokens.weight')).toEqual(table);
    expect(await read(2, 'model.embed_tokens.weight')).not.toEqual(table);
    expect(await read(1, 'model.layers.0.mlp.up_proj.weight')).not.toEqual(
      await read(1, 'model.layers.1.mlp.up_proj.weight'),
    );
    expect(new Set(await read(1, 'model.norm.weight'))).toEqual(new Set([1]));
    expect(new Set(await read(1, 'model.layers.1.self_attn.k_proj.bias'))).toEqual(new Set([0]));
  });

  test('predicts nearly uniformly', async () => {
    using model = asCausal(createModel(device, config));
    const batch = packSequences([Int32Array.from({ length: 20 }, (_, i) => i)]);
    using hidden = model.hidden(batch);
    const { nll } = model.crossEntropy(
      hidden,
      batch.tokens.map((token) => (token * 7 + 40) % 64),
    );
    const mean = (await nll.floats()).reduce((sum, x) => sum + x, 0) / 20;
    nll.dispose();
    expect(Math.abs(mean - Math.log(64))).toBeLessThan(0.3);
  });
});

describe('config.json as published', () => {
  const parse = (config: Record<string, unknown>) => parseModelConfig(config) as DecoderConfig;
  const plain = { vocab_size: 8, hidden_size: 64, intermediate_size: 8, num_hidden_layers: 7, num_attention_heads: 4 };

  test('of GPT-2 needs nothing but its type', () => {
    expect(parse({ model_type: 'gpt2' })).toMatchObject({
      vocabSize: 50257,
      hiddenSize: 768,
      intermediateSize: 3072,
      maxPositions: 1024,
      activation: 'gelu_tanh',
      tieWordEmbeddings: true,
    });
    expect(() => parse({ model_type: 'gpt2', add_cross_attention: true })).toThrow(/add_cross_attention/);
    expect(() => parse({ model_type: 'gpt2', n_head: 7 })).toThrow(/n_embd: 768 does not divide by 7 heads/);
  });

  test('of Pythia rotates a quarter of each head', () => {
    const pythia = { ...plain, model_type: 'gpt_neox', hidden_act: 'gelu' };
    expect(parse({ ...pythia, rotary_emb_base: 500 }).rope).toMatchObject({ dimensions: 4, theta: 500 });
    expect(parse({ ...pythia, rotary_pct: 1 }).rope).toMatchObject({ dimensions: 16, theta: 10000 });
    expect(parse(pythia)).toMatchObject({ activation: 'gelu', parallelResidual: true, tieWordEmbeddings: false });
  });

  test('of Phi-3 calls LongRoPE by its older names', () => {
    const factors = { short_factor: new Array(8).fill(1), long_factor: new Array(8).fill(2) };
    const phi = {
      ...plain,
      model_type: 'phi3',
      max_position_embeddings: 131072,
      original_max_position_embeddings: 4096,
    };
    for (const type of ['su', 'yarn', 'longrope']) {
      expect(parse({ ...phi, rope_scaling: { type, ...factors } }).rope.scaling).toMatchObject({
        type: 'longrope',
        originalPositions: 4096,
        attentionFactor: Math.sqrt(1 + Math.log(32) / Math.log(4096)),
      });
    }
    expect(parse({ ...plain, model_type: 'phi3', rope_scaling: null }).rope.scaling).toEqual({ type: 'default' });
    const short = { ...factors, long_factor: [1] };
    expect(() => parse({ ...phi, rope_scaling: { type: 'su', ...short } })).toThrow(
      /long_factor: has 1 factors for 8 pairs/,
    );
    expect(() => parse({ ...phi, rope_scaling: { type: 'su' } })).toThrow(/short_factor: is required for longrope/);
    expect(() => parse({ ...phi, rope_scaling: { type: 'other' } })).toThrow(/unknown kind "other"/);
  });

  test('of Gemma has the defaults of its family', () => {
    expect(parse({ ...plain, model_type: 'gemma2' })).toMatchObject({
      headDim: 256,
      attentionSoftcap: 50,
      logitSoftcap: 30,
      embeddingScale: 8,
      windows: [4096, 0, 4096, 0, 4096, 0, 4096],
      localRope: undefined,
    });
    const none = { attn_logit_softcapping: null, final_logit_softcapping: null };
    expect(parse({ ...plain, model_type: 'gemma2', ...none })).toMatchObject({ attentionSoftcap: 0, logitSoftcap: 0 });
    expect(
      parse({
        ...plain,
        model_type: 'gemma3_text',
        sliding_window: 512,
        rope_scaling: { rope_type: 'linear', factor: 8 },
      }),
    ).toMatchObject({
      attentionSoftcap: 0,
      logitSoftcap: 0,
      windows: [512, 512, 512, 512, 512, 0, 512],
      rope: { theta: 1e6, scaling: { type: 'linear', factor: 8 } },
      localRope: { theta: 10000, scaling: { type: 'default' } },
    });
  });
});

describe('config.json is read', () => {
  const base = goldenFiles('llama-tied').config;
  const parse = (change: Record<string, unknown>) => parseModelConfig({ ...base, ...change }) as DecoderConfig;

  test('defaults are those of the family', () => {
    const plain = {
      vocab_size: 8,
      hidden_size: 256,
      intermediate_size: 8,
      num_hidden_layers: 3,
      num_attention_heads: 2,
    };
    expect(parseModelConfig({ ...plain, model_type: 'llama' })).toMatchObject({
      numKvHeads: 2,
      headDim: 128,
      norm: { kind: 'rms', eps: 1e-6, offset: 0 },
      rope: { theta: 10000, scaling: { type: 'default' } },
      windows: [0, 0, 0],
      tieWordEmbeddings: false,
    });
    expect(parseModelConfig({ ...plain, model_type: 'mistral', num_attention_heads: 8 })).toMatchObject({
      numKvHeads: 8,
      windows: [4096, 4096, 4096],
    });
    expect(
      parseModelConfig({ ...plain, model_type: 'mistral', sliding_window: null, num_key_value_heads: null }),
    ).toMatchObject({ windows: [0, 0, 0] });
    expect(parseModelConfig({ ...plain, model_type: 'qwen3', num_attention_heads: 4 })).toMatchObject({
      headDim: 128,
      qkNorm: true,
    });
    expect(parseModelConfig({ ...plain, model_type: 'qwen2' })).toMatchObject({
      attentionBias: { qkv: true, output: false },
      windows: [0, 0, 0],
    });
  });

  test('windows of single layers', () => {
    const layerTypes = ['sliding_attention', 'full_attention'];
    const qwen = { model_type: 'qwen3', num_key_value_heads: 1, use_sliding_window: true, sliding_window: 7 };
    expect(parse({ ...qwen, layer_types: layerTypes }).windows).toEqual([7, 0]);
    expect(parse({ ...qwen, max_window_layers: 1 }).windows).toEqual([0, 7]);
    expect(parse({ ...qwen, use_sliding_window: false, layer_types: layerTypes }).windows).toEqual([0, 0]);
  });

  test('the rotation, in the old spelling and in the new one', () => {
    const old = parse({ rope_theta: 5e5, rope_scaling: { type: 'linear', factor: 4 } });
    const recent = parse({
      rope_theta: undefined,
      rope_parameters: { rope_type: 'linear', rope_theta: 5e5, factor: 4 },
    });
    expect(old.rope).toEqual(recent.rope);
    expect(old.rope).toMatchObject({ theta: 5e5, scaling: { type: 'linear', factor: 4 } });
  });

  test('one end token or several', () => {
    expect(parse({ eos_token_id: [2, 5] }).eosTokenIds).toEqual([2, 5]);
    expect(parse({ eos_token_id: null }).eosTokenIds).toEqual([]);
  });
});
