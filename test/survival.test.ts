import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { train } from './faults/faulted-training.js';
import { faultsOf } from './faults/faults.js';

/** Twenty of the cases of `npm run test:faults`, with fixed seeds: a fault of every kind for each of four trainers. */
it.each([
  ['sft', 1],
  ['dpo', 2],
  ['distill', 3],
  ['pretrain', 4],
] as const)(
  '%s that is struck five times and resumed gives the weights of the run that was not',
  async (trainer, seed) => {
    const folders = [1, 2].map(() => mkdtempSync(join(tmpdir(), 'largeforge-faults-')));
    const [calm, hunted] = folders as [string, string];
    try {
      const [whole, parts] = [await train(calm, trainer, []), await train(hunted, trainer, faultsOf(seed))];
      // A fast machine may have ended before the last of them.
      expect(parts.struck.length).toBeGreaterThan(2);
      expect(parts.wrong).toEqual([]);
      expect(parts.weights).toBe(whole.weights);
    } finally {
      for (const folder of folders) rmSync(folder, { recursive: true });
    }
  },
  300_000,
);
