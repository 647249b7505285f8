import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Device, openDevice } from '@largeforge/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { factorUpper } from './factor.js';
import { gptq, prepare } from './gptq.js';

interface Golden {
  readonly outFeatures: number;
  readonly inFeatures: number;
  readonly groupSize: number;
  readonly damping: number;
  readonly weight: number[];
  readonly hessian: number[];
  readonly cases: {
    readonly bits: number;
    readonly symmetric: boolean;
    readonly actOrder: boolean;
    readonly codes: number[];
    readonly scales: number[];
    readonly zeros: number[];
    readonly loss: number;
  }[];
}

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
/** What the authors' algorithm makes of a small matrix: fixtures/make_gptq.py. */
const golden: Golden = JSON.parse(readFileSync(file('../fixtures/gptq.json'), 'utf8'));
const weight = Float32Array.from(golden.weight);
const hessian = Float32Array.from(golden.hessian);
let device: Device;

beforeAll(() => {
  device = openDevice({ library: file('../../backend-cpu/build/liblargeforge_cpu.so'), threads: 2 });
});
afterAll(() => device[Symbol.dispose]());

describe('GPTQ', () => {
  it.each(golden.cases)(
    'has the codes of the authors: $bits bits, symmetric $symmetric, act-order $actOrder',
    async (own) => {
      const { bits, symmetric, actOrder } = own;
      const { groupSize, damping } = golden;
      const options = { bits, symmetric, actOrder, groupSize, damping, scaleDType: 'f32', search: false } as const;
      using ready = await prepare(device, 'layer', hessian, options);
      const result = await gptq(device, weight, ready, options);
      expect([...result.weight.codes]).toEqual(own.codes);
      expect([...result.weight.zeros]).toEqual(own.zeros);
      result.weight.scales.forEach((scale, i) => {
        expect(scale).toBeCloseTo(own.scales[i]!, 5);
      });
      // Their loss is tr(E (H + damping) E^T); ours is it over that of the whole weight.
      expect(result.relativeError * energy(ready.damping)).toBeCloseTo(own.loss, -Math.floor(Math.log10(own.loss)) + 3);
    },
  );

  it('makes less of an error of the outputs where ranges may shrink', async () => {
    const { groupSize, damping } = golden;
    const options = { bits: 3, symmetric: true, actOrder: false, groupSize, damping, scaleDType: 'f16' } as const;
    using ready = await prepare(device, 'layer', hessian, options);
    const whole = await gptq(device, weight, ready, { ...options, search: false });
    const searched = await gptq(device, weight, ready, { ...options, search: true });
    expect(searched.relativeError).toBeLessThan(whole.relativeError);
  });

  it('needs no more damping for inputs that are never active, and refuses inputs that are no numbers', async () => {
    const { groupSize, damping } = golden;
    const options = { actOrder: false, groupSize, damping };
    using ready = await prepare(device, 'layer', hessian, options);
    expect(ready.damping).toBe(damping);
    expect([...ready.dead].filter((dead) => dead === 1)).toHaveLength(1);
    await expect(
      prepare(
        device,
        'layer',
        hessian.map(() => Number.NaN),
        options,
      ),
    ).rejects.toThrow(/inputs of layer .* no finite numbers/);
  });
});

describe('the triangular factor', () => {
  it.each([7, 16, 48])('gives the matrix back, whatever the width of blocks: %i', async (width) => {
    const n = golden.inFeatures;
    const matrix = hessian.map((value, i) => (Math.floor(i / n) === i % n ? value + 10 : value));
    using factor = (await factorUpper(device, matrix, width))!;
    const upper = await factor.upper.floats();
    factor.blocks.forEach((block, index) => {
      const size = Math.round(Math.sqrt(block.length));
      block.forEach((value, i) => {
        upper[(index * width + Math.floor(i / size)) * n + index * width + (i % size)] = value;
      });
    });
    const largest = Math.max(...matrix);
    for (let i = 0; i < n; i++) {
      for (let j = i; j < n; j++) {
        let sum = 0;
        for (let t = j; t < n; t++) sum += upper[i * n + t]! * upper[j * n + t]!;
        expect(Math.abs(sum - matrix[i * n + j]!) / largest).toBeLessThan(1e-5);
      }
    }
  });

  it('knows a matrix that is not positive definite', async () => {
    expect(await factorUpper(device, Float32Array.of(1, 2, 2, 1), 1)).toBeUndefined();
  });
});

/** tr(W H W^T) of the damped Hessian, with columns that no activation reaches as 0. */
function energy(damping: number): number {
  const { inFeatures: k, outFeatures: n } = golden;
  let mean = 0;
  for (let i = 0; i < k; i++) mean += hessian[i * k + i]! / k;
  let total = 0;
  for (let row = 0; row < n; row++) {
    for (let i = 0; i < k; i++) {
      for (let j = 0; j < k; j++) {
        if (hessian[i * k + i] === 0 || hessian[j * k + j] === 0) continue;
        const h = hessian[i * k + j]! + (i === j ? damping * mean : 0);
        total += weight[row * k + i]! * h * weight[row * k + j]!;
      }
    }
  }
  return total;
}
