import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { locateLibrary } from '@largeforge/backend-cpu';
import { asCausal, loadAdapter, loadModel, openDevice, packBestFitDecreasing } from '@largeforge/engine';
import { describe, expect, it } from 'vitest';
import { largestDifference, rowsOf, type TrlRecord, trainAs } from './trl.fixture.js';

/** Made by test/fixtures/make_trl_sft.py. */
const fixture = fileURLToPath(new URL('../../../test/fixtures/trl_sft', import.meta.url));
const record = JSON.parse(readFileSync(join(fixture, 'losses.json'), 'utf8')) as TrlRecord;

async function run(tuning: string, packed: boolean, learningRate?: number) {
  using device = openDevice({ library: locateLibrary(), threads: 1 });
  const model = asCausal(await loadModel(device, join(fixture, 'model'), { dtype: 'f32' }));
  if (tuning === 'full') model.setTrainable(true);
  else loadAdapter(model, join(fixture, 'adapter'), { trainable: true });
  return await trainAs(record, model, packed, learningRate);
}

describe("the first 50 steps against TRL's SFTTrainer, f32", () => {
  it.each([
    ['full', false],
    ['full', true],
    ['lora', false],
    ['lora', true],
  ])('%s, packed: %s', async (tuning, packed) => {
    const ours = await run(tuning, packed);
    const theirs = record.runs[`${tuning}${packed ? '-packed' : ''}`]!;
    expect(ours.losses.length).toBe(50);
    expect(largestDifference(ours.losses, theirs.losses)).toBeLessThan(1e-3);
    expect(largestDifference(ours.gradNorms, theirs.gradNorms)).toBeLessThan(1e-2);
    expect(largestDifference(ours.learningRates, theirs.learningRates)).toBeLessThan(1e-9);
  });

  it('lays rows into the same packs', () => {
    const { lengths } = rowsOf(record);
    const bins = packBestFitDecreasing(lengths, record.settings.packLength);
    const packs = Array.from({ length: bins.starts.length - 1 }, (_, bin) =>
      Array.from(bins.rows.slice(bins.starts[bin], bins.starts[bin + 1]), (row) => lengths[row]),
    );
    expect(packs).toEqual(record.runs['full-packed']?.packs);
  });

  it('notices a learning rate that is one per cent off', async () => {
    const { losses } = await run('full', false, record.settings.learning_rate * 1.01);
    expect(largestDifference(losses, record.runs.full!.losses)).toBeGreaterThan(1e-3);
  });
});
