import { expect, it } from 'vitest';
import { KERNELS } from './kernels.js';
import { machineLimits, measureKernel } from './measure.js';

it('measures what a level can do, and says nothing of instructions that it lacks', async () => {
  const { f32, bf16, int8, read } = await machineLimits('portable', 1);
  expect(f32).toBeGreaterThan(1e8);
  expect(read).toBeGreaterThan(1e8);
  expect([bf16, int8]).toEqual([0, 0]);
});

it('refuses a level that there is not', async () => {
  await expect(machineLimits('avx9000', 1)).rejects.toThrow(/levels: portable/);
});

it("holds a kernel against the slower of the machine's limits", async () => {
  const kernel = KERNELS.find(({ name }) => name.startsWith('residual'))!;
  const memory = await measureKernel(kernel, { f32: 1e15, bf16: 1e15, int8: 1e15, read: 1e9 }, { threads: 1 });
  expect(memory.bound).toBe('memory');
  expect(memory.share).toBeCloseTo(kernel.bytes / 1e9 / memory.seconds, 6);
  const compute = await measureKernel(kernel, { f32: 1e6, bf16: 0, int8: 0, read: 1e15 }, { threads: 1 });
  expect(compute.bound).toBe('compute');
  expect(compute.share).toBeCloseTo(kernel.flops / 1e6 / compute.seconds, 6);
});

it('every kernel runs', async () => {
  for (const kernel of KERNELS.filter(({ flops }) => flops < 1e9)) {
    const { seconds } = await measureKernel(kernel, { f32: 1e12, bf16: 1e12, int8: 1e12, read: 1e10 }, {});
    expect(seconds, kernel.name).toBeGreaterThan(0);
  }
});
