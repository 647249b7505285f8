import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Device, dequantize, openDevice, type QuantizedWeight, Tensor } from '@largeforge/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CompensationOptions, compensate, prepare } from './compensate.js';
import { factorUpper } from './factor.js';

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
    readonly staticGroups: boolean;
    /** [K] where groups are not as columns lie. */
    readonly groupIndex?: number[];
    readonly codes: number[];
    readonly scales: number[];
    readonly zeros: number[];
    readonly loss: number;
  }[];
  /** Coordinate descent from what GPTQ with static groups leaves. */
  readonly descents: {
    readonly bits: number;
    readonly symmetric: boolean;
    readonly sweeps: number;
    readonly codes: number[];
    readonly scales: number[];
    readonly loss: number;
  }[];
}

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
/** What the authors' algorithm makes of a small matrix: fixtures/make_gptq.py. */
const golden: Golden = JSON.parse(readFileSync(file('../../fixtures/gptq.json'), 'utf8'));
const weight = Float32Array.from(golden.weight);
const hessian = Float32Array.from(golden.hessian);
let device: Device;

beforeAll(() => {
  device = openDevice({ library: file('../../../backend-cpu/build/liblargeforge_cpu.so'), threads: 2 });
});
afterAll(() => device[Symbol.dispose]());

/** Compensated rounding of the fixture's weight, without what the authors' code lacks unless given. */
async function rounded(given: Partial<CompensationOptions>) {
  const { groupSize, damping } = golden;
  const plain = {
    bits: 4,
    symmetric: true,
    actOrder: false,
    staticGroups: false,
    search: false,
    sweeps: 0,
    blockSize: 128,
  };
  const options: CompensationOptions = { ...plain, groupSize, damping, scaleDType: 'f32', ...given };
  using h = Tensor.from(device, hessian, [golden.inFeatures, golden.inFeatures]);
  using w = Tensor.from(device, weight, [golden.outFeatures, golden.inFeatures]);
  using ready = await prepare(device, 'layer', h, options);
  return { ...(await compensate(device, w, ready, options)), damping: ready.damping };
}

describe('compensated rounding', () => {
  it.each(golden.cases)(
    'has the codes of the authors: $bits bits, symmetric $symmetric, act-order $actOrder, static groups $staticGroups',
    async ({ bits, symmetric, actOrder, staticGroups, ...own }) => {
      const result = await rounded({ bits, symmetric, actOrder, staticGroups });
      expect([...result.weight.codes]).toEqual(own.codes);
      expect([...result.weight.zeros]).toEqual(own.zeros);
      expect(result.weight.groupIndex && [...result.weight.groupIndex]).toEqual(own.groupIndex);
      result.weight.scales.forEach((scale, i) => {
        expect(scale).toBeCloseTo(own.scales[i]!, 5);
      });
      // Their loss is tr(E (H + damping) E^T); ours is it over that of the whole weight.
      const loss = result.relativeError * energy(result.damping);
      expect(loss).toBeCloseTo(own.loss, -Math.floor(Math.log10(own.loss)) + 3);
    },
  );

  it.each(golden.descents)(
    'has the codes of coordinate descent in float64: $bits bits, symmetric $symmetric, $sweeps sweeps',
    async ({ bits, symmetric, sweeps, ...own }) => {
      const { weight, relativeError, damping } = await rounded({ bits, symmetric, sweeps, staticGroups: true });
      expect([...weight.codes]).toEqual(own.codes);
      weight.scales.forEach((scale, i) => {
        expect(scale / own.scales[i]!).toBeCloseTo(1, 4);
      });
      expect((relativeError * energy(damping)) / own.loss).toBeCloseTo(1, 4);
    },
  );

  it.each([
    { actOrder: false, staticGroups: false },
    { actOrder: true, staticGroups: true },
    { actOrder: true, staticGroups: false },
  ])('loses less with searched ranges, and less again with each sweep: %o', async (order) => {
    const losses = [];
    for (const more of [{}, { search: true }, { search: true, sweeps: 1 }, { search: true, sweeps: 4 }]) {
      losses.push((await rounded({ bits: 3, scaleDType: 'f16', ...order, ...more })).relativeError);
    }
    for (let i = 1; i < losses.length; i++) expect(losses[i]).toBeLessThan(losses[i - 1]!);
  });

  it('says what it lost, whatever the blocks', async () => {
    const whole = await rounded({ search: true, sweeps: 2 });
    for (const blockSize of [16, 32]) {
      const blocks = await rounded({ search: true, sweeps: 2, blockSize });
      expect(blocks.relativeError).toBeCloseTo(whole.relativeError, 6);
      // tr(E H E^T) of what the codes mean, over that of the weight.
      expect(loss(blocks.weight, blocks.damping) / energy(blocks.damping)).toBeCloseTo(blocks.relativeError, 6);
    }
  });

  it('rounds rows of one static group the same, whatever the blocks', async () => {
    const row = { bits: 8, staticGroups: true, actOrder: true, groupSize: golden.inFeatures };
    const [whole, blocks] = [await rounded(row), await rounded({ ...row, blockSize: 8 })];
    expect(blocks.weight.scales).toEqual(whole.weight.scales);
    expect(blocks.weight.codes).toEqual(whole.weight.codes);
    const nearlyNearest = await rounded({ ...row, actOrder: false, damping: 10 });
    expect(loss(whole.weight, 0)).toBeLessThan(loss(nearlyNearest.weight, 0));
    const sweeps = await rounded({ ...row, blockSize: 8, sweeps: 1 });
    expect(sweeps.relativeError).toBeLessThan(blocks.relativeError);
  });

  it('needs no more damping for inputs that are never active, and refuses inputs that are no numbers', async () => {
    expect((await rounded({})).damping).toBe(golden.damping);
    using h = Tensor.full(device, [golden.inFeatures, golden.inFeatures], Number.NaN);
    const options = { actOrder: false, staticGroups: false, damping: 0.01, groupSize: 16, blockSize: 128 };
    await expect(prepare(device, 'layer', h, options)).rejects.toThrow(/inputs of layer .* no finite numbers/);
  });
});

describe('the triangular factor', () => {
  it.each([7, 16, 48])('gives the matrix back, whatever the width of blocks: %i', async (width) => {
    const n = golden.inFeatures;
    const matrix = hessian.map((value, i) => (Math.floor(i / n) === i % n ? value + 10 : value));
    using factor = (await factorUpper(device, Tensor.from(device, matrix, [n, n]), width))!;
    const upper = await factor.upper.floats();
    factor.diagonal.forEach((value, i) => {
      expect(value).toBeCloseTo(upper[i * n + i]!, 3);
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
    const matrix = Tensor.from(device, [1, 2, 2, 1], [2, 2]);
    expect(await factorUpper(device, matrix, 1)).toBeUndefined();
  });
});

/** tr(W H W^T) of the damped Hessian, with columns that no activation reaches as 0. */
const energy = (damping: number) => quadratic(weight, damping);

/** tr(E H E^T) of what codes mean less the weight. */
function loss(quantized: QuantizedWeight, damping: number): number {
  return quadratic(
    dequantize(quantized).map((value, i) => value - weight[i]!),
    damping,
  );
}

function quadratic(values: Float32Array, damping: number): number {
  const { inFeatures: k, outFeatures: n } = golden;
  let mean = 0;
  for (let i = 0; i < k; i++) mean += hessian[i * k + i]! / k;
  let total = 0;
  for (let row = 0; row < n; row++) {
    for (let i = 0; i < k; i++) {
      for (let j = 0; j < k; j++) {
        if (hessian[i * k + i] === 0 || hessian[j * k + j] === 0) continue;
        const h = hessian[i * k + j]! + (i === j ? damping * mean : 0);
        total += values[row * k + i]! * h * values[row * k + j]!;
      }
    }
  }
  return total;
}
