import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { locateLibrary } from '@largeforge/backend-cpu';
import { openDevice, Tensor } from '@largeforge/engine';
import { expect, it } from 'vitest';
import { prepare } from './compensate.js';
import { correctedWeight } from './correct.js';

const { outFeatures, inFeatures, weight, hessian } = JSON.parse(
  readFileSync(fileURLToPath(new URL('../../fixtures/gptq.json', import.meta.url)), 'utf8'),
) as { outFeatures: number; inFeatures: number; weight: number[]; hessian: number[] };
const [n, k] = [outFeatures, inFeatures];

it.each([
  { actOrder: false, share: 1, blockSize: 16 },
  { actOrder: true, share: 1, blockSize: 32 },
  { actOrder: true, share: 0.25, blockSize: 48 },
])("solves the normal equations of ||W Y - W' X||^2: %o", async ({ actOrder, share, blockSize }) => {
  using device = openDevice({ library: locateLibrary(), threads: 2 });
  using h = Tensor.from(device, Float32Array.from(hessian), [k, k]);
  // X^T (Y - X) of inputs that others have moved by a twentieth of themselves.
  const moved = hessian.map((value, i) => 0.05 * value * Math.sin(i));
  using shift = Tensor.from(device, Float32Array.from(moved), [k, k]);
  using w = Tensor.from(device, Float32Array.from(weight), [n, k]);
  using ready = await prepare(device, 'layer', h, {
    actOrder,
    staticGroups: true,
    damping: 0.01,
    groupSize: 16,
    blockSize,
  });
  using corrected = correctedWeight(w, shift, ready, share);
  const found = await corrected.floats();
  let mean = 0;
  for (let i = 0; i < k; i++) mean += hessian[i * k + i]! / k;
  let [off, size] = [0, 0];
  for (let row = 0; row < n; row++) {
    for (let j = 0; j < k; j++) {
      let [left, right] = [0, 0];
      for (let i = 0; i < k; i++) {
        const damped = hessian[i * k + j]! + (i === j ? ready.damping * mean : 0);
        left += (found[row * k + i]! - weight[row * k + i]!) * damped;
        right += share * weight[row * k + i]! * moved[j * k + i]!;
      }
      off += (left - right) ** 2;
      size += right ** 2;
    }
  }
  expect(Math.sqrt(off / size)).toBeLessThan(1e-4);
});
