import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { train } from './faulted-training.js';
import { faultsOf, kinds } from './faults.js';
import { trainers } from './training-cases.js';

const wanted = Number(process.env.LARGEFORGE_FAULT_CASES ?? 200);

it(`${wanted} random faults over all trainers: nothing is lost, and resumed equals uninterrupted`, async () => {
  const seed = Number(process.env.LARGEFORGE_FAULT_SEED ?? Date.now() % 2 ** 31);
  console.log(`seed ${seed}: repeat with LARGEFORGE_FAULT_SEED=${seed}`);
  const inFolder = async <T>(use: (folder: string) => Promise<T>): Promise<T> => {
    const folder = mkdtempSync(join(tmpdir(), 'largeforge-faults-'));
    try {
      return await use(folder);
    } finally {
      rmSync(folder, { recursive: true });
    }
  };
  const calm = new Map<string, string>();
  for (const trainer of trainers) {
    const { weights } = await inFolder((folder) => train(folder, trainer, []));
    calm.set(trainer, weights);
  }
  const counts = new Map<string, number>();
  let cases = 0;
  for (let series = 0; cases < wanted; series++) {
    const trainer = trainers[series % trainers.length]!;
    const survival = await inFolder((folder) => train(folder, trainer, faultsOf(seed + series)));
    expect(survival.wrong, `${trainer}, faults of seed ${seed + series}`).toEqual([]);
    expect(survival.weights, `${trainer}, faults of seed ${seed + series}`).toBe(calm.get(trainer));
    cases += survival.struck.length;
    for (const kind of survival.struck) counts.set(`${trainer} ${kind}`, (counts.get(`${trainer} ${kind}`) ?? 0) + 1);
  }
  for (const kind of kinds) {
    console.log(
      `${kind}: ${trainers.map((trainer) => `${trainer} ${counts.get(`${trainer} ${kind}`) ?? 0}`).join(', ')}`,
    );
  }
  console.log(`${cases} faults survived`);
});
