import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { asCausal, loadAdapter, loadModel, openDevice } from '@largeforge/engine';
import { describe, expect, it } from 'vitest';
import { adapterOff, frozenModel } from '../../plugins/trainer-dpo/src/reference/reference.js';
import {
  largestDifference,
  type PreferenceRecord,
  runTitle,
  trainAs,
} from '../../plugins/trainer-dpo/src/trl.fixture.js';
import { backendLibrary, pythonFile, temporaryFolder } from './environment.js';

const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url));

describe("five steps beside TRL's preference trainers, which run now, f32", () => {
  const folder = temporaryFolder();
  pythonFile(join(fixtures, 'make_trl_preference.py'), folder, '5');
  const record = JSON.parse(readFileSync(join(folder, 'trl_preference.json'), 'utf8')) as PreferenceRecord;

  it.each(record.runs.map((run) => [runTitle(run), run] as const))('%s', async (_, run) => {
    using device = openDevice({ library: backendLibrary });
    const open = async () => asCausal(await loadModel(device, join(fixtures, 'trl_sft/model'), { dtype: 'f32' }));
    const model = await open();
    if (run.lora) loadAdapter(model, join(folder, 'trl_preference_adapter'), { trainable: true });
    else model.setTrainable(true);
    const ours = await trainAs(record, run, model, run.lora ? adapterOff(model) : frozenModel(await open()));
    expect(run.figures.loss?.length).toBe(5);
    for (const [name, theirs] of Object.entries(run.figures)) {
      expect.soft(largestDifference(ours[name] ?? [], theirs), name).toBeLessThan(name === 'grad_norm' ? 1e-2 : 1e-3);
    }
  });
});
