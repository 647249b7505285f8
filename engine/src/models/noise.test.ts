import { afterAll, beforeAll, expect, test } from 'vitest';
import { RandomKeys } from '../autograd/random.js';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { Tensor } from '../tensor/index.js';
import { addNoise } from './noise.js';

let device: Device;
beforeAll(() => {
  device = cpuDevice();
});
afterAll(() => device.close());

test('noise fills its bound, which depends on the length of each sequence, and follows from the seed', async () => {
  const width = 16;
  const cuSeqlens = Int32Array.of(0, 4, 4, 104);
  const draw = async (seed: number) => {
    using embedded = Tensor.full(device, [104, width], 1);
    addNoise(embedded, cuSeqlens, { alpha: 5, keys: new RandomKeys(seed) });
    return (await embedded.floats()).map((x) => x - 1);
  };
  const noise = await draw(3);
  const largest = (values: Float32Array) => Math.max(...values.map(Math.abs));
  for (const [start, length] of [
    [0, 4],
    [4, 100],
  ] as const) {
    const bound = 5 / Math.sqrt(length * width);
    const own = noise.subarray(start * width, (start + length) * width);
    expect(largest(own)).toBeLessThanOrEqual(bound + 1e-6);
    expect(largest(own)).toBeGreaterThan(0.9 * bound);
  }
  expect(await draw(3)).toEqual(noise);
  expect(await draw(4)).not.toEqual(noise);
});
