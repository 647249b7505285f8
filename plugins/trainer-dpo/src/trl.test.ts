import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { locateLibrary } from '@largeforge/backend-cpu';
import { asCausal, loadAdapter, loadModel, openDevice } from '@largeforge/engine';
import { describe, expect, it } from 'vitest';
import { adapterOff, frozenModel } from './reference/reference.js';
import { largestDifference, type PreferenceRecord, type PreferenceRun, runTitle, trainAs } from './trl.fixture.js';

/** Made by test/fixtures/make_trl_preference.py. */
const fixtures = fileURLToPath(new URL('../../../test/fixtures', import.meta.url));
const record = JSON.parse(readFileSync(join(fixtures, 'trl_preference.json'), 'utf8')) as PreferenceRecord;

async function figuresOf(run: PreferenceRun) {
  using device = openDevice({ library: locateLibrary(), threads: 1 });
  const open = async () => asCausal(await loadModel(device, join(fixtures, 'trl_sft', 'model'), { dtype: 'f32' }));
  const model = await open();
  if (!run.lora) {
    model.setTrainable(true);
    return await trainAs(record, run, model, frozenModel(await open()));
  }
  loadAdapter(model, join(fixtures, 'trl_preference_adapter'), { trainable: true });
  return await trainAs(record, run, model, adapterOff(model));
}

describe("the first 50 steps against TRL's preference trainers, f32", () => {
  it.each(record.runs.map((run) => [runTitle(run), run] as const))('%s', async (_, run) => {
    const ours = await figuresOf(run);
    for (const [name, theirs] of Object.entries(run.figures)) {
      const difference = largestDifference(ours[name] ?? [], theirs);
      expect.soft(difference, name).toBeLessThan(name === 'grad_norm' ? 1e-2 : 1e-3);
    }
  });
});
