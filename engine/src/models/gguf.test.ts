import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { readGgufModel } from '../formats/gguf-model/read.js';
import { scope } from '../tensor/index.js';
import { packSequences } from './batch.js';
import { fixture, readTensors, relativeDifference } from './golden.fixture.js';
import { asCausal, loadModelFiles } from './load.js';

/** Made by engine/fixtures/make_ggufs.py; logits are llama.cpp's. */
const file = (name: string) => fixture(`../gguf/${name}`);

/** What llama.cpp's shortcuts cost: its GELU is a table of f16. */
const TOLERANCE: Readonly<Record<string, number>> = { gpt2: 5e-3, 'gpt-neox': 5e-3, gemma2: 5e-3, gemma3: 5e-3 };

describe('models from GGUF compute the logits of llama.cpp', () => {
  let device: Device;
  beforeAll(() => {
    device = cpuDevice();
  });
  afterAll(() => device.close());

  it.each([
    'llama',
    'llama3',
    'qwen3',
    'mixtral',
    'gpt2',
    'gpt-neox',
    'phi3',
    'gemma2',
    'gemma3',
    'qwen2-moe',
    'qwen3-moe',
  ])('%s', async (name) => {
    const golden = readTensors(file(`${name}.safetensors`));
    const model = asCausal(loadModelFiles(device, readGgufModel(file(`${name}.gguf`)), { dtype: 'f32' }));
    const logits = scope(() => model.logits(model.hidden(packSequences([[...golden.ints('tokens')]]))));
    const ours = await logits.floats();
    expect(relativeDifference(ours, golden.floats('logits'))).toBeLessThan(TOLERANCE[name] ?? 1e-4);
    logits.dispose();
    model.dispose();
  });
});
