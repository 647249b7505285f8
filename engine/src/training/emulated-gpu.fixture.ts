import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { emulatedDevice } from '../device/emulated-gpu.fixture.js';
import { GenerationEngine } from '../generation/engine.js';
import { type CacheType, ModelExecutor } from '../generation/model-executor.js';
import { greedy } from '../generation/request.js';
import { difference, golden, goldenFiles, relativeDifference } from '../models/golden.fixture.js';
import { asCausal, type LoadOptions, loadModelFiles } from '../models/load.js';
import { quantisedFiles } from '../models/quantised-files.fixture.js';
import { nextTokenObjective } from './next-token.js';
import { tinyModel, tinyOptions, tinyRows } from './tiny-run.fixture.js';
import { train } from './train.js';

/** Trains two steps; returns the losses and every trained parameter. */
async function trainTwoSteps(device: Device, dtype: 'f32' | 'bf16') {
  using model = tinyModel(device, dtype);
  const options = tinyOptions({ order: 'sequential', maxSteps: 2, accumulation: 1, batchSize: 3 });
  const { losses } = await train({ model, objective: nextTokenObjective(model), rows: tinyRows(), options });
  const weights = new Map<string, Float32Array>();
  for (const [name, { master }] of model.trainableParameters()) {
    if (master) weights.set(name, await master.floats());
  }
  return { losses, weights };
}

/** 32 greedy tokens of a tiny Llama after a prompt that takes two blocks of the cache. */
async function generate(device: Device, dtype: 'f32' | 'bf16', cacheType: CacheType = 'model') {
  using model = asCausal(loadModelFiles(device, goldenFiles('llama'), { dtype }));
  const engine = new GenerationEngine({
    executor: new ModelExecutor(model, { maxSequences: 2, blockSize: 4, cacheType }),
    contextLength: 64,
    eosTokenIds: [],
    decoder: () => ({ push: () => '', flush: () => '' }),
  });
  const tokens: number[] = [];
  const request = { promptTokens: [5, 17, 40, 3, 22, 9, 31], maxTokens: 32, sampling: greedy };
  for await (const event of engine.generate(request)) if (event.type === 'token') tokens.push(...event.tokens);
  await engine.close();
  return tokens;
}

/** A training step and generation on the emulated device, beside the CPU's. */
export function equalsCpu(vendor: 'cuda' | 'rocm'): void {
  let cpu: Device;
  let gpu: Device;
  beforeAll(() => {
    cpu = cpuDevice();
    gpu = emulatedDevice(vendor);
  });
  afterAll(() => {
    cpu.close();
    gpu.close();
  });

  describe.each([
    // What one step of AdamW may make of a gradient's rounding is bounded by the learning rate, 0.01.
    ['f32', 1e-4, 2e-3],
    ['bf16', 2e-2, 2.1e-2],
  ] as const)('in %s', (dtype, lossTolerance, weightTolerance) => {
    it('two training steps give the losses and weights of the CPU', async () => {
      const [expected, found] = [await trainTwoSteps(cpu, dtype), await trainTwoSteps(gpu, dtype)];
      expect(found.losses).toHaveLength(2);
      expect(difference(found.losses, expected.losses)).toBeLessThan(lossTolerance);
      expect(found.weights.size).toBe(expected.weights.size);
      for (const [name, weights] of expected.weights) {
        expect(difference(found.weights.get(name)!, weights), name).toBeLessThan(weightTolerance);
      }
    }, 300_000);
  });

  it.each(['model', 'int8'] as const)(
    '32 greedy tokens are those of the CPU, with a cache of %s',
    async (cacheType) => {
      const tokens = await generate(gpu, 'f32', cacheType);
      expect(tokens).toHaveLength(32);
      expect(tokens).toEqual(await generate(cpu, 'f32', cacheType));
    },
    300_000,
  );

  it('weights of 4 bits stay in 4 bits, and give the logits of the same weights expanded to bf16', async () => {
    expect(gpu.properties.packedMath).toBe('bf16');
    expect(cpu.properties.packedMath).toBe('int8');
    const folder = mkdtempSync(join(tmpdir(), 'largeforge-'));
    try {
      const files = quantisedFiles(folder, 'q4_0');
      const logits = async (device: Device, options: LoadOptions) => {
        using model = asCausal(loadModelFiles(device, files, options));
        using hidden = model.hidden(golden('llama').batch);
        using result = model.logits(hidden);
        return await result.floats();
      };
      const exact = await logits(cpu, { dtype: 'f32' });
      const kept = await logits(gpu, { dtype: 'bf16', weights: 'as-stored' });
      const expanded = await logits(gpu, { dtype: 'bf16', weights: 'bf16' });
      expect(relativeDifference(kept, exact)).toBeLessThan(0.05);
      // Products of the same numbers, summed in another order.
      expect(relativeDifference(kept, expanded)).toBeLessThan(0.01);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 300_000);
}
