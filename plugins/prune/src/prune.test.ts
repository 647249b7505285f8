import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import { type PluginTest, testPlugin } from '@largeforge/core/testing';
import {
  asCausal,
  type CausalLanguageModel,
  type Device,
  loadModel,
  loadModelFiles,
  openDevice,
  packSequences,
  readModelSource,
  readSafetensors,
  scope,
  writePretrained,
} from '@largeforge/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pruneStep } from './command.js';
import prune from './index.js';
import type { Pruned, PruneRun } from './pruned-model.js';
import { parsePattern } from './sparse/mask.js';
import { pruneWeights } from './sparse/prune-weights.js';
import { blockInfluence } from './structured/layers.js';
import { pruneStructures } from './structured/prune-structures.js';

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const fixture = (name: string) => file(`../fixtures/${name}`);
const windows = (JSON.parse(readFileSync(fixture('tokens.json'), 'utf8')) as number[][]).map((row) =>
  Int32Array.from(row),
);
const tinyBase = file('../../../examples/quickstart/base');

let device: Device;
beforeAll(() => {
  device = openDevice({ library: file('../../backend-cpu/build/liblargeforge_cpu.so'), threads: 2 });
});
afterAll(() => device[Symbol.dispose]());

/** Prunes the tiny model of the fixtures, or another one, on its calibration windows. */
async function pruned(method: (run: PruneRun) => Promise<Pruned>, path = fixture('base')): Promise<Pruned> {
  const source = readModelSource(path);
  const model = asCausal(loadModelFiles(device, source, { dtype: 'f32' }));
  return await method({
    device,
    model,
    source,
    calibration: { windows, rest: [], described: { source: '', windows: windows.length, sequenceLength: 24 } },
    batchTokens: 64,
    dtype: 'f32',
    signal: new AbortController().signal,
    async keep(tensors) {
      const kept = [];
      for (const tensor of tensors) {
        const bytes = await tensor.bytes();
        kept.push({ ...tensor, bytes: () => bytes });
      }
      return kept;
    },
    onLayer() {},
  });
}

async function valuesOf(result: Pruned, name: string): Promise<Float32Array> {
  const bytes = await result.tensors.find((tensor) => tensor.name === name)!.bytes();
  return new Float32Array(bytes.slice().buffer);
}

function golden(name: string): Float32Array {
  const { offset, bytes } = readSafetensors(fixture('pruned.safetensors')).tensors.get(name)!;
  const content = readFileSync(fixture('pruned.safetensors')).subarray(offset, offset + bytes);
  return new Float32Array(content.buffer.slice(content.byteOffset, content.byteOffset + bytes));
}

/** Logits of the last position of a window. */
async function lastLogits(model: CausalLanguageModel, window: Int32Array): Promise<Float32Array> {
  const logits = await scope(() => model.logits(model.hidden(packSequences([window])))).floats();
  return logits.slice(-model.config.vocabSize);
}

describe('weights become 0 as in the code of the authors', () => {
  it.each([
    ['magnitude', undefined],
    ['magnitude', '2:4'],
    ['wanda', undefined],
    ['wanda', '2:4'],
    ['sparsegpt', undefined],
    ['sparsegpt', '2:4'],
  ] as const)('%s, pattern %s', async (method, pattern) => {
    const result = await pruned((run) => pruneWeights(run, { method, sparsity: 0.5, pattern, damping: 0.01 }));
    for (const part of ['self_attn.q_proj', 'mlp.down_proj']) {
      const own = await valuesOf(result, `model.layers.1.${part}.weight`);
      const expected = golden(`${method}-${pattern ?? '0.5'}/${part}`);
      let [largest, off, zeros] = [0, 0, 0];
      for (let i = 0; i < expected.length; i++) {
        largest = Math.max(largest, Math.abs(expected[i]!));
        off = Math.max(off, Math.abs(own[i]! - expected[i]!));
        zeros += (own[i] === 0) === (expected[i] === 0) ? 0 : 1;
      }
      expect(zeros, `${part}: zeros in other places`).toBe(0);
      expect(off / largest, part).toBeLessThan(method === 'sparsegpt' ? 1e-4 : 1e-6);
    }
    if (!pattern) return;
    for (const { sparsity } of result.layers) expect(sparsity).toBe(0.5);
  });
});

describe('structures go as in the code of the authors', () => {
  const expected = JSON.parse(readFileSync(fixture('structures.json'), 'utf8'));

  it('heads and channels, and what is left predicts as the model with zeros in their place', async () => {
    await using test = await testPlugin(prune, { plugins: [backendCpu], config: { backend: 'cpu' } });
    const settings = { heads: 0.5, channels: 0.4, layers: 0, multipleOf: 1 };
    const result = await pruned((run) => pruneStructures(run, settings));
    expect(result.config).toMatchObject({
      num_attention_heads: 2,
      num_key_value_heads: 1,
      head_dim: 4,
      intermediate_size: 96,
    });
    await writePretrained(test.folder, result.tensors, { config: result.config, dtype: 'f32' });
    const smaller = asCausal(await loadModel(device, test.folder, { dtype: 'f32' }));
    const logits = await lastLogits(smaller, windows[0]!);
    expected.logits.forEach((logit: number, i: number) => {
      expect(logits[i]).toBeCloseTo(logit, 3);
    });
    // The very channels: rows of the up projection are those of the base.
    const base = asCausal(loadModelFiles(device, readModelSource(fixture('base')), { dtype: 'f32' }));
    const [own, whole] = [smaller, base].map((model) => model.parameters().get('model.layers.3.mlp.up_proj.weight')!);
    const [ownValues, wholeValues] = [await own!.toFloat32().floats(), await whole!.toFloat32().floats()];
    expected.kept[3].channels.forEach((channel: number, row: number) => {
      expect(ownValues.slice(row * 16, row * 16 + 16)).toEqual(wholeValues.slice(channel * 16, channel * 16 + 16));
    });
  });

  it('not in models that have no such structures, which are named', async () => {
    const gguf = (name: string) => file(`../../../engine/fixtures/gguf/${name}.gguf`);
    const settings = { heads: 0.5, channels: 0, layers: 0, multipleOf: 1 };
    const fails = (name: string, method: (run: PruneRun) => Promise<Pruned>) =>
      expect(pruned(method, gguf(name))).rejects;
    await fails('phi3', (run) => pruneStructures(run, settings)).toThrow(/phi3 has fused projections/);
    await fails('gpt2', (run) => pruneStructures(run, settings)).toThrow(/gpt2 has fused projections/);
    await fails('mixtral', (run) => pruneStructures(run, settings)).toThrow(/mixtral has layers with experts/);
    const sparse = { method: 'magnitude', sparsity: 0.5, pattern: undefined, damping: 0.01 } as const;
    await fails('mixtral', (run) => pruneWeights(run, sparse)).toThrow(/mixtral has layers with experts/);
  });

  it('layers, by how much they turn the stream', async () => {
    const model = asCausal(loadModelFiles(device, readModelSource(fixture('base')), { dtype: 'f32' }));
    const influence = await blockInfluence(model, windows, new AbortController().signal);
    influence.forEach((value, layer) => {
      expect(value).toBeCloseTo(expected.influence[layer], 5);
    });
    await using test = await testPlugin(prune, { plugins: [backendCpu], config: { backend: 'cpu' } });
    const result = await pruned((run) => pruneStructures(run, { heads: 0, channels: 0, layers: 0.5, multipleOf: 1 }));
    expect(result.config.num_hidden_layers).toBe(2);
    await writePretrained(test.folder, result.tensors, { config: result.config, dtype: 'f32' });
    const smaller = asCausal(await loadModel(device, test.folder, { dtype: 'f32' }));
    const logits = await lastLogits(smaller, windows[0]!);
    expected.logitsWithoutLayers.forEach((logit: number, i: number) => {
      expect(logits[i]).toBeCloseTo(logit, 3);
    });
  });
});

describe('a step that prunes', () => {
  const text = Array.from({ length: 300 }, (_, i) => `Please set a timer for ${i} minutes and buy ${i * 7} apples.`);

  async function run(test: PluginTest, use: string, options: Record<string, unknown>) {
    const calibration = join(test.folder, 'text.txt');
    writeFileSync(calibration, text.join(' '));
    const shared = { model: tinyBase, outputDir: join(test.folder, 'pruned'), samples: 8, sequenceLength: 64 };
    return test.runStep({ stage: 'optimize', use, with: { ...shared, calibration, dtype: 'f32', ...options } });
  }
  const start = () => testPlugin(prune, { plugins: [backendCpu], config: { backend: { name: 'cpu', threads: 2 } } });

  it('loses less by SparseGPT than by Wanda, and less by that than by magnitude', async () => {
    const divergences: number[] = [];
    for (const method of ['sparsegpt', 'wanda', 'magnitude']) {
      await using test = await start();
      const outputs = await run(test, 'prune', { method, sparsity: 0.5 });
      const report = JSON.parse(readFileSync(outputs.report as string, 'utf8'));
      divergences.push(report.comparison.kl);
      expect(report.layers).toHaveLength(42);
      expect(report.layers[0].sparsity).toBeCloseTo(0.5, 2);
      // The others need no X^T X, and so don't know it.
      if (method === 'sparsegpt') expect(report.layers[0].relativeError).toBeGreaterThan(0);
      else expect(report.layers[0].relativeError).toBeUndefined();
      const html = readFileSync(outputs.page as string, 'utf8');
      expect(html).toContain(`Pruned by ${method}`);
    }
    expect(divergences[0]).toBeLessThan(divergences[1]!);
    expect(divergences[1]).toBeLessThan(divergences[2]!);
  }, 300_000);

  it('makes a model smaller that serves as any other, its config rewritten', async () => {
    await using test = await start();
    const outputs = await run(test, 'prune-structured', { channels: 0.25, layers: 0.34, multipleOf: 32 });
    const config = JSON.parse(readFileSync(join(outputs.model as string, 'config.json'), 'utf8'));
    expect(config).toMatchObject({ num_hidden_layers: 4, intermediate_size: 352 });
    const { sizes } = JSON.parse(readFileSync(outputs.report as string, 'utf8'));
    expect(sizes.bytesAfter).toBeLessThan(0.75 * sizes.bytesBefore);
    expect(outputs.sparsity).toBeCloseTo(1 - sizes.weights / sizes.weightsBefore, 9);
  });

  it.each([
    ['prune', { method: 'wanda', calibration: undefined }, /wanda needs a calibration text/],
    ['prune', { pattern: '4:2' }, /N:M/],
    ['prune', { method: 'magnitude', pattern: '2:7' }, /2:7 does not divide the 160 inputs of model\.layers\.0/],
    ['prune-structured', {}, /nothing would go/],
    ['prune-structured', { layers: 0.05 }, /a sparsity of 0.05 leaves none of the 6 layers, or takes none/],
    ['prune', { samples: 10_000 }, /tokens, but 10000 windows/],
    [
      'prune',
      { method: 'sparsegpt', gate: { minTop1: 1 } },
      /pruned model failed its gate.*most was lost in model\.layers/,
    ],
  ])('says what cannot be done, and writes nothing: %s %o', async (use, options, message) => {
    await using test = await start();
    await expect(run(test, use, options)).rejects.toThrow(message);
    expect(existsSync(join(test.folder, 'pruned'))).toBe(false);
  });

  it.each([
    ['prune', { method: 'magnitude', calibration: undefined }, 'model.layers.2.mlp.down_proj.weight', /mlp\.down_proj/],
    [
      'prune',
      { method: 'magnitude', calibration: undefined },
      'model.embed_tokens.weight',
      /embed_tokens\.weight\[0, 0\] is no/,
    ],
    [
      'prune',
      { method: 'wanda' },
      'model.layers.0.input_layernorm.weight',
      /the inputs of model\.layers\.0.* no finite/,
    ],
    ['prune-structured', { layers: 0.34 }, 'model.norm.weight', /model\.norm\.weight\[0\] is no finite number/],
  ])('refuses NaN and writes nothing: %s %o, %s', async (use, options, name, message) => {
    await using test = await start();
    const model = join(test.folder, 'damaged');
    cpSync(tinyBase, model, { recursive: true });
    const file = join(model, 'model.safetensors');
    const { offset, dtype } = readSafetensors(file).tensors.get(name)!;
    const content = readFileSync(file);
    expect(dtype).toBe('bf16');
    content.writeUInt16LE(0x7fc0, offset);
    writeFileSync(file, content);
    await expect(run(test, use, { model, ...options })).rejects.toThrow(message);
    expect(existsSync(join(test.folder, 'pruned'))).toBe(false);
  });

  it('reads its command line', () => {
    expect(parsePattern('2:4')).toEqual({ zeros: 2, of: 4 });
    expect(parsePattern('4:4')).toBeUndefined();
    const step = pruneStep({ method: 'structured', model: 'm', channels: 0.25, maxKl: 0.1 });
    expect(step).toMatchObject({ use: 'prune-structured', with: { model: 'm', channels: 0.25, gate: { maxKl: 0.1 } } });
    expect(pruneStep({ method: 'wanda', model: 'm' })).toMatchObject({ use: 'prune', with: { method: 'wanda' } });
  });
});
