import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Tape, withTape } from '../autograd/index.js';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { Tensor } from '../tensor/tensor.js';
import type { PackedBatch } from './batch.js';
import type { DecoderConfig } from './config.js';
import { DecoderModel } from './decoder.js';
import { CAUSAL, difference, golden, goldenFiles, relativeDifference, stored } from './golden.fixture.js';
import { asCausal, loadModelFiles, parseModelConfig } from './load.js';
import type { CausalLanguageModel } from './model.js';
import type { RopeScaling } from './rope.js';
import { FileWeights } from './weights.js';

const ROTATIONS = ['linear', 'dynamic', 'llama3', 'yarn', 'yarn-mscale', 'longrope'].map((name) => `rotation-${name}`);

let device: Device;
beforeAll(() => {
  device = cpuDevice();
});
afterAll(() => device.close());

async function logitsOf(name: string, options: Parameters<typeof goldenFiles>[1] = {}): Promise<Float32Array> {
  using model = asCausal(loadModelFiles(device, goldenFiles(name, options), { dtype: 'f32' }));
  return await logitsFrom(model, name);
}

async function logitsFrom(model: CausalLanguageModel, name: string): Promise<Float32Array> {
  using hidden = model.hidden(golden(name).batch);
  using logits = model.logits(hidden);
  return logits.floats();
}

async function rowsOf(model: CausalLanguageModel, batch: PackedBatch): Promise<Float32Array[]> {
  using hidden = model.hidden(batch);
  const values = await hidden.floats();
  const width = hidden.shape[1]!;
  return Array.from({ length: hidden.shape[0]! }, (_, row) => values.subarray(row * width, (row + 1) * width));
}

describe('logits equal those of transformers', () => {
  test.each(CAUSAL)('%s', async (name) => {
    expect(difference(await logitsOf(name), golden(name).floats('logits'))).toBeLessThan(1e-4);
  });

  test.each(ROTATIONS)('%s', async (name) => {
    const logits = await logitsOf(name, { weights: 'llama-tied' });
    expect(difference(logits, golden(name).floats('logits'))).toBeLessThan(1e-4);
  });
});

test.each(CAUSAL)('logits of %s in bf16 are near those in f32', async (name) => {
  using model = asCausal(loadModelFiles(device, goldenFiles(name), { dtype: 'bf16' }));
  const [logits, exact] = [await logitsFrom(model, name), golden(name).floats('logits')];
  const norm = (values: ArrayLike<number>) => Math.hypot(...Array.from(values));
  const error = norm(exact.map((value, i) => value - logits[i]!)) / norm(exact);
  expect(error).toBeGreaterThan(1e-4);
  expect(error).toBeLessThan(0.05);
});

describe.each(CAUSAL)('gradients of %s equal those of transformers', (name) => {
  test.each([false, true])('checkpointing %s', async (checkpointing) => {
    const expected = golden(name);
    using model = asCausal(loadModelFiles(device, goldenFiles(name), { dtype: 'f32' }));
    model.setTrainable(true);
    const labels = expected.ints('labels');
    const targets = labels.filter((label) => label >= 0).length;
    using tape = new Tape();
    const nll = withTape(tape, () => {
      using hidden = model.hidden(expected.batch, { checkpointing });
      return model.crossEntropy(hidden, labels, { gradScale: 1 / targets }).nll;
    });
    tape.backward();
    const loss = (await nll.floats()).reduce((sum, value) => sum + value, 0) / targets;
    nll.dispose();
    expect(loss).toBeCloseTo(expected.floats('loss')[0]!, 5);
    expect([...model.parameters().keys()].sort()).toEqual([...expected.gradients.keys()].sort());
    for (const [key, parameter] of model.parameters()) {
      const gradient = stored(await parameter.grad!.floats(), parameter);
      expect(relativeDifference(gradient, expected.gradients.get(key)!), key).toBeLessThan(1e-4);
    }
  });
});

/** Reads a fused projection as all queries, all keys, all values. */
function inOneStack({ modules }: DecoderConfig): Partial<DecoderConfig> {
  const { qkv } = modules;
  if (qkv.kind !== 'interleaved') throw new Error('the projection is not interleaved');
  return { modules: { ...modules, qkv: { ...qkv, kind: 'stacked' } } };
}

/** Switching a part off must show: else the comparison above would not notice if it were missing. */
describe('the comparison fails without', () => {
  const without: [part: string, name: string, change: (config: DecoderConfig) => Partial<DecoderConfig>][] = [
    ['the rotation', 'llama', ({ rope }) => ({ rope: { ...rope, scaling: { type: 'none' } } })],
    ['the half-split pairs', 'llama', ({ rope }) => ({ rope: { ...rope, interleaved: true } })],
    ['the window', 'mistral', () => ({ windows: [0, 0] })],
    ['the window of one layer', 'qwen2', () => ({ windows: [0, 0] })],
    ['biases of the attention', 'llama', () => ({ attentionBias: { qkv: false, output: false } })],
    ['the bias of the attention output', 'llama', () => ({ attentionBias: { qkv: true, output: false } })],
    ['biases of the feed-forward', 'llama', () => ({ mlpBias: false })],
    ['biases', 'qwen2', () => ({ attentionBias: { qkv: false, output: false } })],
    ['the norm of queries and keys', 'qwen3', () => ({ qkNorm: false })],
    ['the activation', 'llama', () => ({ activation: 'gelu' })],
    ['the learnt positions', 'gpt2', ({ modules }) => ({ modules: { ...modules, positions: undefined } })],
    ['the mean of the norm', 'gpt2', ({ norm }) => ({ norm: { ...norm, kind: 'rms' } })],
    ['the scale of a layer', 'gpt2', ({ attentionScales: [first] }) => ({ attentionScales: [first!, first!] })],
    ['biases of the attention', 'gpt2', () => ({ attentionBias: { qkv: false, output: false } })],
    ['biases of the feed-forward', 'gpt2', () => ({ mlpBias: false })],
    ['the activation', 'gpt2', () => ({ activation: 'silu' })],
    ['the parallel sublayers', 'gpt-neox', () => ({ parallelResidual: false })],
    ['the sequence of sublayers', 'gpt-neox-sequential', () => ({ parallelResidual: true })],
    ['the rotation', 'gpt-neox', ({ rope }) => ({ rope: { ...rope, scaling: { type: 'none' } } })],
    ['the part that is rotated', 'gpt-neox', ({ rope, headDim }) => ({ rope: { ...rope, dimensions: headDim } })],
    ['the part that is rotated', 'gpt-neox-sequential', ({ rope }) => ({ rope: { ...rope, dimensions: 6 } })],
    ['the order of heads', 'gpt-neox', inOneStack],
    ['biases of the attention', 'gpt-neox', () => ({ attentionBias: { qkv: false, output: false } })],
    ['biases of the feed-forward', 'gpt-neox', () => ({ mlpBias: false })],
    ['the scaling of the rotation', 'phi3', ({ rope }) => ({ rope: { ...rope, scaling: { type: 'default' } } })],
    [
      'the attention factor',
      'phi3',
      ({ rope }) => ({
        rope: { ...rope, scaling: { ...(rope.scaling as object), attentionFactor: 1 } as RopeScaling },
      }),
    ],
    ['the part that is rotated', 'phi3', ({ rope, headDim }) => ({ rope: { ...rope, dimensions: headDim } })],
    ['the window', 'phi3', () => ({ windows: [0, 0] })],
    ['the scale of the embeddings', 'gemma2', () => ({ embeddingScale: 1 })],
    ['the offset of norms', 'gemma2', ({ norm }) => ({ norm: { ...norm, offset: 0 } })],
    ['the cap of scores', 'gemma2', () => ({ attentionSoftcap: 0 })],
    ['the cap of logits', 'gemma2', () => ({ logitSoftcap: 0 })],
    ['the scale of scores', 'gemma2', ({ headDim }) => ({ attentionScales: [headDim ** -0.5, headDim ** -0.5] })],
    ['the window of every other layer', 'gemma2', () => ({ windows: [0, 0] })],
    ['a layer without a window', 'gemma2', () => ({ windows: [6, 6] })],
    ['the activation', 'gemma2', () => ({ activation: 'silu' })],
    [
      'the norm after the attention',
      'gemma2',
      ({ modules }) => ({ modules: { ...modules, attentionOutputNorm: undefined } }),
    ],
    [
      'the norm after the feed-forward',
      'gemma2',
      ({ modules }) => ({ modules: { ...modules, feedForwardOutputNorm: undefined } }),
    ],
    ['the norm of queries and keys', 'gemma3', () => ({ qkNorm: false })],
    ['the offset of norms', 'gemma3', ({ norm }) => ({ norm: { ...norm, offset: 0 } })],
    ['the rotation of layers with a window', 'gemma3', () => ({ localRope: undefined })],
    ['the rotation of layers without one', 'gemma3', ({ localRope }) => ({ rope: localRope! })],
    ['the window', 'gemma3', () => ({ windows: [0, 0, 0] })],
    ['the scale of scores', 'gemma3', ({ headDim }) => ({ attentionScales: new Array(3).fill(headDim ** -0.5) })],
    ['the sum of weights', 'mixtral', ({ experts }) => ({ experts: { ...experts!, normalize: false } })],
    ['one of the experts of a token', 'mixtral', ({ experts }) => ({ experts: { ...experts!, perToken: 1 } })],
    ['weights as they are', 'qwen2-moe', ({ experts }) => ({ experts: { ...experts!, normalize: true } })],
    [
      'the expert that all share',
      'qwen2-moe',
      ({ experts }) => ({ experts: { ...experts!, sharedIntermediateSize: 0 } }),
    ],
    ['the sum of weights', 'qwen3-moe', ({ experts }) => ({ experts: { ...experts!, normalize: false } })],
    ['the norm of queries and keys', 'qwen3-moe', () => ({ qkNorm: false })],
    ['the epsilon', 'llama', ({ norm }) => ({ norm: { ...norm, eps: 1e-2 } })],
    ...ROTATIONS.map((name): (typeof without)[number] => [
      `the scaling of ${name}`,
      name,
      ({ rope }) => ({ rope: { ...rope, scaling: { type: 'default' } } }),
    ]),
    [
      'the attention factor',
      'rotation-yarn',
      ({ rope }) => ({
        rope: { ...rope, scaling: { ...(rope.scaling as object), attentionFactor: 1 } as RopeScaling },
      }),
    ],
  ];

  test.each(without)('%s (%s)', async (_, name, change) => {
    const weights = name.startsWith('rotation-') ? 'llama-tied' : name;
    const files = goldenFiles(name, { weights });
    const config = parseModelConfig(files.config) as DecoderConfig;
    const changed = { ...config, ...change(config) };
    using model = new DecoderModel(device, 'f32', changed, new FileWeights(device, 'f32', files, ''));
    expect(difference(await logitsFrom(model, name), golden(name).floats('logits'))).toBeGreaterThan(1e-2);
  });

  test('the map of query heads to key-value heads', async () => {
    // Key-value heads in the other order: the same weights under a wrong map.
    const files = goldenFiles('qwen3');
    const config = parseModelConfig(files.config) as DecoderConfig;
    using model = asCausal(loadModelFiles(device, files, { dtype: 'f32' }));
    const { headDim, hiddenSize, numKvHeads } = config;
    for (const projection of ['k_proj', 'v_proj']) {
      const weight = model.parameters().get(`model.layers.0.self_attn.${projection}.weight`)!;
      using values = weight.toFloat32();
      const rows = await values.floats();
      const size = headDim * hiddenSize;
      const heads = Array.from({ length: numKvHeads }, (_, h) => rows.slice(h * size, (h + 1) * size));
      using swapped = Tensor.from(device, Float32Array.from(heads.reverse().flatMap((h) => [...h])), weight.shape);
      weight.assign(swapped);
    }
    expect(difference(await logitsFrom(model, 'qwen3'), golden('qwen3').floats('logits'))).toBeGreaterThan(1e-2);
  });

  test('the causal mask', async () => {
    // A later token must not reach an earlier row, and must reach its own.
    const { batch } = golden('llama');
    using model = asCausal(loadModelFiles(device, goldenFiles('llama'), { dtype: 'f32' }));
    const tokens = batch.tokens.slice();
    tokens[7] = (tokens[7]! + 1) % 64;
    const before = await rowsOf(model, batch);
    const after = await rowsOf(model, { ...batch, tokens });
    const changed = before.map((row, i) => difference(row, after[i]!) > 0);
    expect(changed.indexOf(true)).toBe(7);
    expect(changed.lastIndexOf(true)).toBe(batch.cuSeqlens[1]! - 1);
  });
});
