import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { asCausal, attachLora, loadAdapter, loadModel, openDevice, Tensor } from '@largeforge/engine';
import { describe, expect, it } from 'vitest';
import { adapterParameters } from '../../engine/src/models/lora/parameters.js';
import { largestDifference, type TrlRecord, trainAs } from '../../plugins/trainer-sft/src/trl.fixture.js';
import { backendLibrary, pythonFile, smolLm2, temporaryFolder } from './environment.js';

const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url));
const readRecord = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as TrlRecord;
const RUNS = [
  ['full', false],
  ['full', true],
  ['lora', false],
  ['lora', true],
] as const;

function compare(ours: Awaited<ReturnType<typeof trainAs>>, record: TrlRecord, run: string): void {
  const theirs = record.runs[run]!;
  const difference = largestDifference(ours.losses, theirs.losses);
  console.log(`${run}: losses of 50 steps differ by ${difference.toExponential(1)} at most`);
  expect(theirs.losses.length).toBe(50);
  expect(difference).toBeLessThan(1e-3);
  expect(largestDifference(ours.learningRates, theirs.learningRates)).toBeLessThan(1e-9);
}

describe("a tiny model beside TRL's SFTTrainer, which runs now", () => {
  const folder = temporaryFolder();
  pythonFile(join(fixtures, 'make_trl_sft.py'), folder);
  const record = readRecord(join(folder, 'losses.json'));

  it.each(RUNS)('%s, packed: %s', async (tuning, packed) => {
    using device = openDevice({ library: backendLibrary });
    const model = asCausal(await loadModel(device, join(folder, 'model'), { dtype: 'f32' }));
    if (tuning === 'full') model.setTrainable(true);
    else loadAdapter(model, join(folder, 'adapter'), { trainable: true });
    compare(await trainAs(record, model, packed), record, `${tuning}${packed ? '-packed' : ''}`);
  });
});

describe("SmolLM2-135M-Instruct beside what TRL's SFTTrainer recorded", () => {
  /** Made by test/fixtures/make_trl_smollm2.py. */
  const record = readRecord(join(fixtures, 'trl_smollm2.json')) as TrlRecord & {
    readonly adapter: { readonly r: number; readonly lora_alpha: number };
    readonly rates: { readonly full: number; readonly lora: number };
  };

  it.each(RUNS)('%s, packed: %s', async (tuning, packed) => {
    using device = openDevice({ library: backendLibrary });
    const model = asCausal(await loadModel(device, smolLm2(), { dtype: 'f32' }));
    if (tuning === 'full') model.setTrainable(true);
    else {
      const { r, lora_alpha: alpha } = record.adapter;
      attachLora(model, { r, alpha, targetModules: 'all-linear' });
      let given = 0;
      const byName = adapterParameters(model.linears).sort(([a], [b]) => (a < b ? -1 : 1));
      for (const [, parameter] of byName) {
        // The rule of draw_adapter in make_trl_smollm2.py.
        const values = Float32Array.from({ length: parameter.elements }, () => {
          const hash = (BigInt(given++) * 2654435761n) % 2n ** 32n;
          return (Number(hash) / 2 ** 32 - 0.5) * 0.04;
        });
        using drawn = Tensor.from(device, values, [...parameter.shape]);
        parameter.assign(drawn);
      }
    }
    compare(await trainAs(record, model, packed, record.rates[tuning]), record, `${tuning}${packed ? '-packed' : ''}`);
  });
});
