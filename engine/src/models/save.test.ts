import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import type { FloatDType } from '../device/dtype.js';
import { CAUSAL, difference, fixture, golden, goldenFiles, readHeader, readTensors } from './golden.fixture.js';
import { asCausal, createModel, loadModelFiles } from './load.js';
import { loadModel } from './open.js';
import { savePretrained } from './save.js';

let device: Device;
let folder: string;
beforeAll(() => {
  device = cpuDevice();
});
afterAll(() => device.close());
afterEach(() => rmSync(folder, { recursive: true }));

function temporary(): string {
  folder = mkdtempSync(join(tmpdir(), 'largeforge-'));
  return folder;
}

test.each([...CAUSAL, 'bert'])('%s is written as it was read, bit for bit', async (name) => {
  using model = loadModelFiles(device, goldenFiles(name), { dtype: 'f32' });
  await savePretrained(model, temporary());
  const original = readTensors(join(fixture(name), 'model.safetensors'));
  const saved = readTensors(join(folder, 'model.safetensors'));
  expect(saved.names.sort()).toEqual(original.names.sort());
  for (const tensor of original.names) expect(saved.floats(tensor)).toEqual(original.floats(tensor));
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
  expect(config).toEqual({ ...goldenFiles(name).config, dtype: 'float32' });
});

test.each([
  ['bf16', 0.06],
  ['f16', 0.01],
] as [FloatDType, number][])('written as %s it reads back, rounded', async (dtype, tolerance) => {
  using model = asCausal(loadModelFiles(device, goldenFiles('llama'), { dtype: 'f32' }));
  await savePretrained(model, temporary(), { dtype });
  for (const entry of readHeader(join(folder, 'model.safetensors')).values()) expect(entry.dtype).toBe(dtype);
  using again = asCausal(await loadModel(device, folder, { dtype: 'f32' }));
  using hidden = again.hidden(golden('llama').batch);
  using logits = again.logits(hidden);
  const expected = golden('llama').floats('logits');
  const error = difference(await logits.floats(), expected) / Math.max(...expected.map(Math.abs));
  expect(error).toBeLessThan(tolerance);
  expect(error).toBeGreaterThan(1e-6);
});

test('a large model is cut into shards that an index names', async () => {
  using model = loadModelFiles(device, goldenFiles('llama'), { dtype: 'f32' });
  await savePretrained(model, temporary(), { shardBytes: 20_000 });
  expect(readdirSync(folder).filter((file) => /^model-\d{5}-of-\d{5}\.safetensors$/.test(file)).length).toBeGreaterThan(
    2,
  );
  using again = asCausal(await loadModel(device, folder, { dtype: 'f32' }));
  using hidden = again.hidden(golden('llama').batch);
  using logits = again.logits(hidden);
  expect(difference(await logits.floats(), golden('llama').floats('logits'))).toBeLessThan(1e-4);
});

test('trained values are what is written, and no trace of a quantised origin', async () => {
  const config = {
    ...goldenFiles('llama-tied').config,
    quantization_config: { quant_method: 'gguf' },
    torch_dtype: 'float16',
  };
  using model = asCausal(createModel(device, config, { dtype: 'bf16', seed: 5 }));
  model.setTrainable(true);
  await savePretrained(model, temporary(), { dtype: 'f32' });
  const name = 'model.layers.1.mlp.down_proj.weight';
  const master = await model.parameters().get(name)!.master!.floats();
  expect(readTensors(join(folder, 'model.safetensors')).floats(name)).toEqual(master);
  const saved = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
  expect(saved).not.toHaveProperty('quantization_config');
  expect(saved).not.toHaveProperty('torch_dtype');
});
