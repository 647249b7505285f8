import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openDevice, Tape, type TensorToWrite, withTape, writeSafetensors } from '@largeforge/engine';
import { beforeAll, describe, expect, it } from 'vitest';
import { readTensors, relativeDifference } from '../../../engine/src/models/golden.fixture.js';
import { backendLibrary, python, temporaryFolder } from '../environment.js';
import { CASES, type GradientCase } from './cases.js';
import { Draw } from './draw.js';

/** Results and gradients of one case, by name: `out0`, `out1`, ..., and the names of what was drawn. */
type Results = ReadonlyMap<string, ArrayLike<number>>;
type Precision = 'f32' | 'bf16';

const PRECISIONS: readonly Precision[] = ['f32', 'bf16'];
/** PyTorch computes in f64 from the same values. bf16 keeps 8 bits of each intermediate result. */
const TOLERANCE = { f32: 5e-6, bf16: 2e-2 };

async function compute(
  { name, run }: GradientCase,
  precision: Precision,
  isa?: string,
): Promise<{ results: Results; drawn: TensorToWrite[]; leaves: string[] }> {
  using device = openDevice({ library: backendLibrary, isa, debug: true });
  const draw = new Draw(device, precision, 7);
  using tape = new Tape();
  const outputs = [withTape(tape, () => run(draw))].flat();
  tape.backward(...outputs.map((tensor, i) => ({ tensor, gradient: draw.seed(`seed${i}`, tensor) })));
  const results = new Map<string, ArrayLike<number>>();
  for (const [i, output] of outputs.entries()) results.set(`out${i}`, await output.floats());
  for (const [leaf, { grad }] of draw.leaves) {
    if (!grad) throw new Error(`${name}: ${leaf} has no gradient`);
    results.set(leaf, await grad.floats());
  }
  return { results, drawn: await draw.toWrite(`${precision}/${name}`), leaves: [...draw.leaves.keys()] };
}

const expected = new Map<string, Results>();
beforeAll(async () => {
  const folder = temporaryFolder();
  const all: TensorToWrite[] = [];
  const cases: object[] = [];
  for (const precision of PRECISIONS) {
    for (const item of CASES) {
      const { drawn, leaves } = await compute(item, precision);
      all.push(...drawn);
      cases.push({ name: `${precision}/${item.name}`, peer: item.peer, options: item.options ?? {}, leaves });
    }
  }
  await writeSafetensors(join(folder, 'drawn.safetensors'), all);
  writeFileSync(join(folder, 'cases.json'), JSON.stringify(cases));
  python('gradients.py', folder);
  const { names, floats } = readTensors(join(folder, 'expected.safetensors'));
  for (const key of names) {
    const end = key.lastIndexOf('/');
    const name = key.slice(0, end);
    expected.set(name, new Map(expected.get(name)).set(key.slice(end + 1), floats(key)));
  }
});

describe.each(PRECISIONS)('in %s', (precision) => {
  describe.each([['portable'], ['avx2'], [undefined]])('with the kernels %s', (isa) => {
    it.each(CASES)('$name has the results and gradients of PyTorch', async (item) => {
      const { results } = await compute(item, precision, isa);
      const theirs = expected.get(`${precision}/${item.name}`)!;
      expect([...results.keys()].sort()).toEqual([...theirs.keys()].sort());
      for (const [name, values] of results) {
        expect(relativeDifference(values, theirs.get(name)!), name).toBeLessThan(TOLERANCE[precision]);
      }
    });
  });
});
