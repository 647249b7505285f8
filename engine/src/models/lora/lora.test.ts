import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { RandomKeys, Tape, withTape } from '../../autograd/index.js';
import { cpuDevice } from '../../device/cpu-device.fixture.js';
import type { Device } from '../../device/device.js';
import { Tensor } from '../../tensor/index.js';
import { difference, fixture, golden, goldenFiles, readTensors, relativeDifference } from '../golden.fixture.js';
import { KvCache } from '../kv-cache.js';
import { asCausal, createModel, loadModelFiles } from '../load.js';
import type { CausalLanguageModel, ForwardOptions } from '../model.js';
import { loadModel } from '../open.js';
import { savePretrained } from '../save.js';
import { attachLora, detachLora, setAdapterEnabled } from './attach.js';
import { loadAdapter, readServedAdapter, saveAdapter } from './files.js';
import { mergeAdapter } from './merge.js';
import { serveAdapters } from './served.js';

const ADAPTERS = [
  ['adapter-llama', 'llama'],
  ['adapter-qwen3', 'qwen3'],
  ['adapter-llama-bias', 'llama'],
  ['adapter-gpt2', 'gpt2'],
  ['adapter-gpt-neox', 'gpt-neox'],
  ['adapter-phi3', 'phi3'],
  ['adapter-gemma2', 'gemma2'],
  ['adapter-qwen2-moe', 'qwen2-moe'],
] as const;

let device: Device;
const folders: string[] = [];
beforeAll(() => {
  device = cpuDevice();
});
afterAll(() => device.close());
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-'));
  folders.push(folder);
  return folder;
}

function load(name: string, dtype: 'f32' | 'bf16' = 'f32'): CausalLanguageModel {
  return asCausal(loadModelFiles(device, goldenFiles(name), { dtype }));
}

async function logitsOf(model: CausalLanguageModel, name: string): Promise<Float32Array> {
  using hidden = model.hidden(golden(name).batch);
  using logits = model.logits(hidden);
  return await logits.floats();
}

async function gradients(model: CausalLanguageModel, name: string, options: ForwardOptions = {}) {
  const expected = golden(name);
  const labels = expected.ints('labels');
  const gradScale = 1 / labels.filter((label) => label >= 0).length;
  using tape = new Tape();
  withTape(tape, () => {
    using hidden = model.hidden(expected.batch, options);
    model.crossEntropy(hidden, labels, { gradScale }).nll.dispose();
  });
  tape.backward();
  const entries = [...model.trainableParameters()].map(async ([key, p]) => [key, await p.grad!.floats()] as const);
  return new Map(await Promise.all(entries));
}

describe.each(ADAPTERS)('%s, made by PEFT', (name, base) => {
  test('gives the logits that PEFT computes', async () => {
    using model = load(base);
    loadAdapter(model, fixture(name));
    expect(difference(await logitsOf(model, name), golden(name).floats('logits'))).toBeLessThan(1e-4);
  });

  test.each([false, true])('gives the gradients that PEFT computes, checkpointing %s', async (checkpointing) => {
    using model = load(base);
    const adapter = loadAdapter(model, fixture(name), { trainable: true });
    const computed = await gradients(model, name, { checkpointing });
    const expected = golden(name).gradients;
    const saved = new Map([...adapter.extras].map(([key, parameter]) => [parameter.name, key]));
    expect(new Set([...computed.keys()].map((key) => saved.get(key) ?? key))).toEqual(new Set(expected.keys()));
    for (const [key, gradient] of computed) {
      expect(relativeDifference(gradient, expected.get(saved.get(key) ?? key)!), key).toBeLessThan(1e-4);
    }
  });

  test('gives the same logits when merged', async () => {
    using model = load(base);
    loadAdapter(model, fixture(name));
    mergeAdapter(model);
    expect([...model.linears.values()].some(({ adapter }) => adapter)).toBe(false);
    expect(difference(await logitsOf(model, name), golden(name).floats('merged'))).toBeLessThan(1e-4);
  });

  test('is saved with the keys and values that it had', async () => {
    using model = load(base);
    loadAdapter(model, fixture(name));
    const folder = temporary();
    await saveAdapter(model, folder);
    const original = readTensors(join(fixture(name), 'adapter_model.safetensors'));
    const saved = readTensors(join(folder, 'adapter_model.safetensors'));
    expect(saved.names.sort()).toEqual(original.names.sort());
    for (const key of original.names) expect(saved.floats(key)).toEqual(original.floats(key));
    const config = (path: string) => JSON.parse(readFileSync(join(path, 'adapter_config.json'), 'utf8'));
    const [ours, theirs] = [config(folder), config(fixture(name))];
    expect(new Set(ours.target_modules)).toEqual(new Set(theirs.target_modules));
    for (const key of Object.keys(ours).filter((key) => key !== 'target_modules'))
      expect(ours[key], key).toEqual(theirs[key]);
  });
});

test('a merged model is written as one that has no adapter, and reads back', async () => {
  using model = load('llama');
  loadAdapter(model, fixture('adapter-llama'));
  const folder = temporary();
  await savePretrained(model, folder, { mergeAdapter: true });
  using again = asCausal(await loadModel(device, folder, { dtype: 'f32' }));
  expect(difference(await logitsOf(again, 'adapter-llama'), golden('adapter-llama').floats('merged'))).toBeLessThan(
    1e-4,
  );
  // The model in memory still has its adapter.
  expect(model.linears.get('model.layers.0.self_attn.q_proj')!.adapter).toBeDefined();
});

test('a new adapter changes nothing until it is trained, and its A is drawn from the seed', async () => {
  using model = load('llama');
  const before = await logitsOf(model, 'llama');
  attachLora(model, { r: 4, targetModules: ['q_proj', 'down_proj'], seed: 7 });
  expect(await logitsOf(model, 'llama')).toEqual(before);
  const a = model.linears.get('model.layers.1.mlp.down_proj')!.adapter!.a;
  const drawn = await a.value().floats();
  const bound = 1 / Math.sqrt(40);
  expect(drawn.every((value) => Math.abs(value) <= bound)).toBe(true);
  expect(Math.max(...drawn)).toBeGreaterThan(bound * 0.8);
  expect(drawn.reduce((sum, value) => sum + value, 0) / drawn.length).toBeLessThan(bound * 0.2);
  using other = load('llama');
  attachLora(other, { r: 4, targetModules: ['q_proj', 'down_proj'], seed: 7 });
  expect(await other.linears.get('model.layers.1.mlp.down_proj')!.adapter!.a.value().floats()).toEqual(drawn);
});

test('switching the adapter off gives the base model, and on again the adapter', async () => {
  using model = load('llama');
  const base = await logitsOf(model, 'llama');
  loadAdapter(model, fixture('adapter-llama'));
  const adapted = await logitsOf(model, 'llama');
  expect(difference(base, adapted)).toBeGreaterThan(0.1);
  setAdapterEnabled(model, false);
  expect(await logitsOf(model, 'llama')).toEqual(base);
  setAdapterEnabled(model, true);
  expect(await logitsOf(model, 'llama')).toEqual(adapted);
  detachLora(model);
  expect(await logitsOf(model, 'llama')).toEqual(base);
});

test('only the branches are trained, and frozen weights get no gradient', async () => {
  using model = load('llama');
  attachLora(model, { r: 2, targetModules: 'all-linear' });
  expect([...model.trainableParameters().keys()].every((name) => /lora_[AB]\.weight$/.test(name))).toBe(true);
  expect(model.trainableParameters().size).toBe(2 * 2 * 7);
  await gradients(model, 'llama');
  for (const parameter of model.parameters().values()) expect(parameter.grad).toBeUndefined();
});

test('dropout of the branch is the same in the recomputed block as in the first pass', async () => {
  using model = load('llama');
  attachLora(model, { r: 4, dropout: 0.3, seed: 1 });
  for (const { adapter } of model.linears.values()) {
    using values = Tensor.full(device, adapter!.b.shape, 0.05);
    adapter!.b.assign(values);
  }
  const plain = await gradients(model, 'llama', { dropout: new RandomKeys(5) });
  model.zeroGrad();
  const recomputed = await gradients(model, 'llama', { dropout: new RandomKeys(5), checkpointing: true });
  model.zeroGrad();
  const others = await gradients(model, 'llama', { dropout: new RandomKeys(6) });
  model.zeroGrad();
  const without = await gradients(model, 'llama');
  const key = 'base_model.model.model.layers.0.mlp.up_proj.lora_A.weight';
  for (const [name, gradient] of plain)
    expect(relativeDifference(recomputed.get(name)!, gradient), name).toBeLessThan(1e-6);
  expect(relativeDifference(others.get(key)!, plain.get(key)!)).toBeGreaterThan(1e-3);
  expect(relativeDifference(without.get(key)!, plain.get(key)!)).toBeGreaterThan(1e-3);
});

test('rows of one batch use their own adapters', async () => {
  using model = load('llama');
  const { sequences } = golden('adapter-llama');
  const tokens = sequences[0]!;
  const length = tokens.length;
  const single = async (adapter: string | undefined) => {
    using own = load('llama');
    if (adapter) loadAdapter(own, fixture(adapter));
    using hidden = own.hidden({
      tokens,
      positions: Int32Array.from(tokens.keys()),
      cuSeqlens: Int32Array.of(0, length),
      maxSeqlen: length,
    });
    return (await hidden.floats()).slice(-32);
  };
  const served = readServedAdapter(model, fixture('adapter-llama'));
  serveAdapters(model, [served]);
  using cache = new KvCache(device, model.config, { blocks: 4, blockSize: 16 });
  using hidden = model.decode(
    {
      tokens: Int32Array.from([...tokens, ...tokens]),
      positions: Int32Array.from([...tokens.keys(), ...tokens.keys()]),
      cuSeqlens: Int32Array.of(0, length, 2 * length),
      context: Int32Array.of(length, length),
      slots: Int32Array.from([...tokens.keys(), ...[...tokens.keys()].map((i) => 32 + i)]),
      blockTable: Int32Array.of(0, 2),
      maxBlocks: 1,
      outputRows: Int32Array.of(length - 1, 2 * length - 1),
      adapters: Int32Array.from({ length: 2 * length }, (_, row) => (row < length ? -1 : 0)),
    },
    cache,
  );
  const rows = await hidden.floats();
  expect(difference(rows.subarray(0, 32), await single(undefined))).toBeLessThan(1e-4);
  expect(difference(rows.subarray(32), await single('adapter-llama'))).toBeLessThan(1e-4);
  for (const { a, b } of served.values()) {
    a.dispose();
    b.dispose();
  }
});

describe('what does not fit is refused', () => {
  const rejects = (code: string, options: Parameters<typeof attachLora>[1], pattern: RegExp) => {
    using model = load('llama-tied');
    let thrown: unknown;
    try {
      attachLora(model, options);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: `LF_ENGINE_${code}`, message: expect.stringMatching(pattern) });
  };

  test('a target that no layer has', () => {
    rejects('LORA_TARGETS', { targetModules: ['q_proj', 'query'] }, /"query".*q_proj, k_proj/);
    rejects('LORA_TARGETS', { targetModules: 'layers.*nothing' }, /pattern/);
  });
  test('values out of range', () => {
    rejects('LORA_OPTION', { r: 0 }, /r: 0/);
    rejects('LORA_OPTION', { dropout: 1 }, /dropout: 1/);
    rejects('LORA_OPTION', { targetModules: '(' }, /targetModules/);
    rejects('LORA_OPTION', { modulesToSave: ['lm_head'] }, /shares its weight/);
    rejects('LORA_OPTION', { modulesToSave: ['classifier'] }, /no module is called "classifier"/);
  });
  test('a second adapter', () => {
    using model = load('llama');
    attachLora(model);
    expect(() => attachLora(model)).toThrow(/adapter already/);
  });
  test('an adapter of another model', () => {
    using model = load('llama-tied');
    expect(() => loadAdapter(model, fixture('adapter-llama'))).toThrow(
      /lora_A\.weight is \[4, 32\], expected \[4, 24\]/,
    );
    expect(model.linears.get('model.layers.0.self_attn.q_proj')!.adapter).toBeUndefined();
  });
});

test('an adapter of some layers is saved with the names of those layers', async () => {
  using model = load('llama-tied');
  const { modules } = attachLora(model, { r: 2, targetModules: ['q_proj'] });
  expect(modules.length).toBe(2);
  const folder = temporary();
  await saveAdapter(model, folder);
  const path = join(folder, 'adapter_config.json');
  const config = JSON.parse(readFileSync(path, 'utf8'));
  expect(config.target_modules).toEqual(['q_proj']);
  // As PEFT writes it for layers_to_transform: the names mean more layers than have a branch.
  writeFileSync(path, JSON.stringify({ ...config, target_modules: ['q_proj', 'v_proj'] }));
  using other = load('llama-tied');
  expect(loadAdapter(other, folder).modules).toEqual(modules);
  await saveAdapter(other, folder);
  expect(JSON.parse(readFileSync(path, 'utf8')).target_modules).toEqual(modules);
});

test.each([
  [{ peft_type: 'IA3' }, /peft_type/],
  [{ r: 0 }, /r: /],
])('an adapter whose config has %j is refused', async (change, message) => {
  using model = load('llama-tied');
  attachLora(model, { r: 2 });
  const folder = temporary();
  await saveAdapter(model, folder);
  const path = join(folder, 'adapter_config.json');
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...change }));
  using other = load('llama-tied');
  expect(() => loadAdapter(other, folder)).toThrow(
    expect.objectContaining({ code: 'LF_ENGINE_ADAPTER_CONFIG', message: expect.stringMatching(message) }),
  );
});

test('a pattern must match whole module names', () => {
  using model = asCausal(createModel(device, goldenFiles('llama-tied').config));
  const adapter = attachLora(model, { targetModules: 'model\\.layers\\.1\\..*(q|v)_proj' });
  expect(adapter.modules).toEqual(['model.layers.1.self_attn.q_proj', 'model.layers.1.self_attn.v_proj']);
});
