import { locateLibrary } from '@largeforge/backend-cpu';
import { asCausal, type CausalLanguageModel, commands, loadModel, openDevice, Tensor } from '@largeforge/engine';
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
  using values = down.weight.toFloat32();
  using changed = Tensor.from(
    device,
    (await values.floats()).map((value) => 0.5 * value),
    values.shape,
  );
  down.weight.assign(changed);
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
