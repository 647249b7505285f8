import { locateLibrary } from '@largeforge/backend-cpu';
import {
  asCausal,
  type CausalLanguageModel,
  commands,
  type Linear,
  loadModel,
  openDevice,
  Tensor,
} from '@largeforge/engine';
import { expect, it } from 'vitest';
import { linearsOf } from '../layers.js';
import { tinyBase } from '../quantize.fixture.js';
import { CalibrationStream } from './stream.js';

const windows = [0, 1, 2].map((row) => Int32Array.from({ length: 24 }, (_, i) => 5 + ((row * 31 + i * 7) % 500)));

/** What the queries of layer 1 read, [rows, K]. */
async function inputsOfSecondLayer(model: CausalLanguageModel): Promise<Float32Array[]> {
  using stream = new CalibrationStream(model, windows, 48);
  await stream.advance(0);
  const copies: Tensor[] = [];
  await stream.observe(1, linearsOf(model, 1).slice(0, 1), (_, x) => {
    const copy = Tensor.empty(x.device, x.shape, 'f32', 'persistent');
    commands.copy(x.device.recorder, x, copy);
    copies.push(copy);
  });
  const values: Float32Array[] = [];
  for (const copy of copies) {
    values.push((await copy.floats()).slice());
    copy.dispose();
  }
  return values;
}

it('goes through a layer in parts as it does at once, with the same statistics', async () => {
  using device = openDevice({ library: locateLibrary(), threads: 2 });
  const model = asCausal(await loadModel(device, tinyBase, { dtype: 'f32' }));
  using whole = new CalibrationStream(model, windows, 48);
  using parts = new CalibrationStream(model, windows, 48);
  const linears = linearsOf(model, 0);
  const expected = await whole.squares(0, linears);
  const seen: string[][] = [];
  await parts.advanceInParts(
    0,
    linears,
    async (input) => {
      const { square } = expected[seen.length]!;
      expect(await input.square.floats()).toEqual(await square.floats());
      square.dispose();
      seen.push(input.linears.map(({ name }) => name.split('.').at(-1)!));
    },
    { end: true },
  );
  expect(seen).toEqual([['q_proj', 'k_proj', 'v_proj'], ['o_proj'], ['gate_proj', 'up_proj'], ['down_proj']]);
  await whole.advance(0);
  const next = linearsOf(model, 1).slice(0, 1);
  const [[one], [other]] = [await whole.squares(1, next), await parts.squares(1, next)];
  expect(await other!.square.floats()).toEqual(await one!.square.floats());
  one!.square.dispose();
  other!.square.dispose();
});

it('shares the range of what a norm makes with the weights that read it, and sums X^T X of what is left', async () => {
  using device = openDevice({ library: locateLibrary(), threads: 2 });
  const model = asCausal(await loadModel(device, tinyBase, { dtype: 'f32' }));
  const inputs = await inputsOfSecondLayer(model);
  using stream = new CalibrationStream(model, windows, 48);
  await stream.advance(0);
  const linears = linearsOf(model, 1).slice(0, 3);
  const k = linears[0]!.inFeatures;
  const divisors = Float32Array.from({ length: k }, (_, c) => 0.5 + (c % 3));
  let asked = 0;
  const smoothing = {
    wants: ({ length }: readonly Linear[]) => length === 3,
    smooth: async ({ sizes }: { sizes: Float32Array }) => {
      asked++;
      sizes.forEach((size, c) => {
        const column = inputs.flatMap((x) => Array.from({ length: x.length / k }, (_, row) => x[row * k + c]!));
        expect(size).toBeCloseTo(Math.max(...column) - Math.min(...column), 4);
      });
      return divisors;
    },
  };
  const check = async ({ square }: { square: Tensor }) => {
    const found = await square.floats();
    for (const [i, j] of [
      [0, 0],
      [1, 5],
      [7, 2],
      [k - 1, k - 2],
    ] as const) {
      let expected = 0;
      for (const x of inputs) for (let at = 0; at < x.length; at += k) expected += x[at + i]! * x[at + j]!;
      expect(found[i * k + j]! * divisors[i]! * divisors[j]!).toBeCloseTo(expected, 3);
    }
  };
  await stream.advanceInParts(1, linears, check, { end: false, smoothing });
  expect(asked).toBe(1);
});

it('has what later parts of a layer read differ from the original model when earlier ones have changed', async () => {
  using device = openDevice({ library: locateLibrary(), threads: 2 });
  const model = asCausal(await loadModel(device, tinyBase, { dtype: 'f32' }));
  using stream = new CalibrationStream(model, windows, 48, true);
  const linears = linearsOf(model, 0);
  const shifts: number[] = [];
  const changed = async ({ linears: own, shift }: { linears: readonly Linear[]; shift?: Tensor }) => {
    shifts.push((await shift!.floats()).reduce((most, value) => Math.max(most, Math.abs(value)), 0));
    if (own[0]!.name.endsWith('o_proj')) scaleWeight(own[0]!, await valuesOf(own[0]!));
  };
  await stream.advanceInParts(0, linears, changed, { end: true });
  // Up to the change both are the same model; behind it they part.
  expect(shifts.slice(0, 2)).toEqual([0, 0]);
  expect(shifts[2]).toBeGreaterThan(1e-3);
  expect(shifts[3]).toBeGreaterThan(1e-3);
});

const valuesOf = async ({ weight }: Linear) => {
  using copy = weight.toFloat32();
  return (await copy.floats()).slice();
};

function scaleWeight({ weight }: Linear, values: Float32Array): void {
  using half = Tensor.from(
    weight.device,
    values.map((value) => 0.5 * value),
    weight.shape,
  );
  weight.assign(half);
}

it('follows the original model on as many rows as drift is told from, and no more', async () => {
  using device = openDevice({ library: locateLibrary(), threads: 2 });
  const model = asCausal(await loadModel(device, tinyBase, { dtype: 'f32' }));
  // 16 rows for each column of the widest input.
  const enough = 16 * Math.max(model.config.hiddenSize, model.config.intermediateSize);
  const [first] = windows as [Int32Array];
  const whole = Array.from({ length: Math.ceil(enough / first.length) }, () => first);
  const found: { shift: Float32Array; square: Float32Array; whole: Float32Array }[] = [];
  // Every window is the same: sums over those that are followed are the sums over as many.
  for (const many of [whole, [...whole, ...whole]]) {
    using stream = new CalibrationStream(model, many, first.length, true);
    const linears = linearsOf(model, 0);
    const values = await Promise.all(linears.map(valuesOf));
    await stream.advanceInParts(
      0,
      linears,
      async ({ linears: [own], square, shift, shiftSquare }) => {
        if (own!.name.endsWith('o_proj')) scaleWeight(own!, await valuesOf(own!));
        if (!own!.name.endsWith('down_proj')) return;
        expect(shiftSquare === undefined).toBe(many === whole);
        const copies = [shift!, shiftSquare ?? square, square].map(async (tensor) => (await tensor.floats()).slice());
        const [one, two, three] = (await Promise.all(copies)) as [Float32Array, Float32Array, Float32Array];
        found.push({ shift: one, square: two, whole: three });
      },
      { end: true },
    );
    for (const [i, { weight }] of linears.entries()) weight.assign(Tensor.from(device, values[i]!, weight.shape));
  }
  const [all, some] = found as [(typeof found)[0], (typeof found)[0]];
  expect(all.shift.some((value) => Math.abs(value) > 1e-3)).toBe(true);
  expect(some.shift).toEqual(all.shift);
  expect(some.square).toEqual(all.square);
  expect(some.whole[0]! / all.whole[0]!).toBeCloseTo(2, 4);
});

it('tells how far the inputs of a layer are from those in the original model', async () => {
  using device = openDevice({ library: locateLibrary(), threads: 2 });
  const model = asCausal(await loadModel(device, tinyBase, { dtype: 'f32' }));
  const originals = await inputsOfSecondLayer(model);
  using stream = new CalibrationStream(model, windows, 48, true);
  const [first] = linearsOf(model, 0);
  for (const { square, shift } of await stream.squares(0, linearsOf(model, 0))) {
    expect((await shift!.floats()).every((value) => value === 0)).toBe(true);
    square.dispose();
    shift!.dispose();
  }
  const down = linearsOf(model, 0).at(-1)!;
  scaleWeight(down, await valuesOf(down));
  await stream.advance(0);
  const inputs = await inputsOfSecondLayer(model);
  const shared = await stream.squares(1, linearsOf(model, 1));
  const k = first!.inFeatures;
  const found = await shared[0]!.shift!.floats();
  const expected = new Float64Array(k * k);
  for (const [batch, x] of inputs.entries()) {
    const y = originals[batch]!;
    for (let row = 0; row < x.length; row += k) {
      for (let i = 0; i < k; i++) {
        for (let j = 0; j < k; j++) expected[i * k + j]! += x[row + i]! * (y[row + j]! - x[row + j]!);
      }
    }
  }
  const largest = Math.max(...expected.map(Math.abs));
  expect(largest).toBeGreaterThan(1e-3);
  expected.forEach((value, i) => {
    expect(Math.abs(found[i]! - value) / largest).toBeLessThan(1e-4);
  });
  for (const { square, shift } of shared) {
    square.dispose();
    shift!.dispose();
  }
});
