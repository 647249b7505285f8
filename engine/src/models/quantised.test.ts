import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Tape, withTape } from '../autograd/index.js';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { difference, golden, relativeDifference } from './golden.fixture.js';
import { asCausal, type LoadOptions, loadModelFiles } from './load.js';
import { quantisedFiles } from './quantised-files.fixture.js';
import type { WeightFiles } from './weights.js';

let device: Device;
let folder: string;
let files: Record<'q8_0' | 'q4_0', WeightFiles>;
beforeAll(() => {
  device = cpuDevice();
  folder = mkdtempSync(join(tmpdir(), 'largeforge-'));
  files = { q8_0: quantisedFiles(folder, 'q8_0'), q4_0: quantisedFiles(folder, 'q4_0') };
});
afterAll(() => {
  device.close();
  rmSync(folder, { recursive: true });
});

async function logitsOf(from: WeightFiles, options: LoadOptions): Promise<Float32Array> {
  using model = asCausal(loadModelFiles(device, from, options));
  using hidden = model.hidden(golden('llama').batch);
  using logits = model.logits(hidden);
  return await logits.floats();
}

describe.each(['q8_0', 'q4_0'] as const)('weights in %s', (dtype) => {
  test('in their own bits give the logits of weights that were expanded, in f32', async () => {
    const expanded = await logitsOf(files[dtype], { dtype: 'f32', weights: 'f32' });
    const kept = await logitsOf(files[dtype], { dtype: 'f32', weights: 'as-stored' });
    expect(difference(kept, expanded)).toBeLessThan(2e-5);
  });

  test('with activations in 8 bits give logits near those in f32', async () => {
    const exact = await logitsOf(files[dtype], { dtype: 'f32' });
    const bf16 = relativeDifference(await logitsOf(files[dtype], { dtype: 'bf16' }), exact);
    const int8 = relativeDifference(await logitsOf(files[dtype], { dtype: 'bf16', weights: 'as-stored' }), exact);
    expect(bf16).toBeLessThan(0.05);
    expect(int8).toBeLessThan(0.05);
    expect(int8).not.toBe(bf16);
  });

  test('take the memory that they take in the file', async () => {
    const bytes = (weights: LoadOptions['weights']): number => {
      using model = loadModelFiles(device, files[dtype], { dtype: 'bf16', weights });
      const before = device.stats().persistentBytes;
      model.linears.get('model.layers.0.self_attn.q_proj')!.weight.forward();
      return device.stats().persistentBytes - before;
    };
    // 32 x 32 weights: a byte or half of one, and an f16 scale for each 32; panels begin on cache lines.
    expect(bytes('as-stored')).toBeLessThanOrEqual((dtype === 'q8_0' ? 32 * 34 : 32 * 18) + 256);
    expect(bytes('bf16')).toBeGreaterThanOrEqual(32 * 32 * 2);
  });
});

test('gradients through weights in their own bits are those of expanded ones', async () => {
  const { batch, ints } = golden('llama');
  const labels = ints('labels');
  const gradient = async (weights: LoadOptions['weights']): Promise<Float32Array> => {
    using model = asCausal(loadModelFiles(device, files.q8_0, { dtype: 'f32', weights }));
    const norm = model.parameters().get('model.layers.0.input_layernorm.weight')!;
    norm.trainable = true;
    using tape = new Tape();
    const nll = withTape(tape, () => {
      using hidden = model.hidden(batch);
      return model.crossEntropy(hidden, labels, { gradScale: 1 }).nll;
    });
    tape.backward();
    nll.dispose();
    return await norm.grad!.floats();
  };
  expect(difference(await gradient('as-stored'), await gradient('f32'))).toBeLessThan(1e-5);
});
