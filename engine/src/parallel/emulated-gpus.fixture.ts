import { afterAll, beforeAll, expect, it } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import { type Device, openDevice } from '../device/device.js';
import { emulatedEnvironment, emulatedLibrary } from '../device/emulated-gpu.fixture.js';
import { difference, golden, goldenFiles } from '../models/golden.fixture.js';
import { asCausal, loadModelFiles } from '../models/load.js';
import { decodeLogits, greedyTokens } from './tensor-parallel.fixture.js';
import { loadTensorParallelFiles } from './tensor-parallel.js';

/** The variable that names the library of collectives. */
const LIBRARY = { cuda: 'LF_CUDA_NCCL', rocm: 'LF_ROCM_RCCL' } as const;

/** A model on two emulated devices, by a fake of the vendor's library, beside one processor. */
export function equalsOneDevice(vendor: 'cuda' | 'rocm'): void {
  let cpu: Device;
  let gpus: Device[];
  beforeAll(() => {
    cpu = cpuDevice();
    const environment = emulatedEnvironment(vendor);
    const fake = environment[`LF_${vendor.toUpperCase()}_DRIVER`]!;
    Object.assign(process.env, environment, { LF_EMULATED_DEVICES: '2', [LIBRARY[vendor]]: fake });
    gpus = [0, 1].map((index) => openDevice({ library: emulatedLibrary(vendor), index, debug: true }));
  });
  afterAll(() => {
    for (const device of [cpu, ...gpus]) device.close();
  });

  it.each(['llama', 'gemma3'])(
    '%s gives the logits of the CPU in f32',
    async (name) => {
      const files = goldenFiles(name);
      using whole = asCausal(loadModelFiles(cpu, files, { dtype: 'f32' }));
      using split = await loadTensorParallelFiles(gpus, files, { dtype: 'f32' });
      const tokens = golden(name).sequences[0]!;
      const expected = await decodeLogits(whole, tokens, 3);
      expect(largestDifference(await decodeLogits(split, tokens, 3), expected)).toBeLessThan(1e-4);
    },
    300_000,
  );

  it('is as near to f32 in bf16 as the CPU is', async () => {
    const files = goldenFiles('llama');
    using exact = asCausal(loadModelFiles(cpu, files, { dtype: 'f32' }));
    using whole = asCausal(loadModelFiles(cpu, files, { dtype: 'bf16' }));
    using split = await loadTensorParallelFiles(gpus, files, { dtype: 'bf16' });
    const tokens = golden('llama').sequences[0]!;
    const expected = await decodeLogits(exact, tokens, 3);
    const rounding = largestDifference(await decodeLogits(whole, tokens, 3), expected);
    expect(rounding).toBeGreaterThan(1e-3);
    // Each rank's part of a sum is rounded before it is added: one rounding more where one device has one.
    expect(largestDifference(await decodeLogits(split, tokens, 3), expected)).toBeLessThan(2 * rounding);
  }, 300_000);

  it('gives the 32 greedy tokens of the CPU', async () => {
    const files = goldenFiles('llama');
    using whole = asCausal(loadModelFiles(cpu, files, { dtype: 'f32' }));
    using split = await loadTensorParallelFiles(gpus, files, { dtype: 'f32' });
    const tokens = await greedyTokens(split);
    expect(tokens).toHaveLength(32);
    expect(tokens).toEqual(await greedyTokens(whole));
  }, 300_000);
}

const largestDifference = (found: readonly Float32Array[], expected: readonly Float32Array[]) =>
  Math.max(...expected.map((row, position) => difference(found[position] ?? [], row)));
