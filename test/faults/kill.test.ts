import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { killsOf, train } from './killed-training.js';

it('training that is killed at 50 moments and resumed gives the weights of the run that was not', async () => {
  const seed = Number(process.env.LARGEFORGE_FAULT_SEED ?? Date.now() % 2 ** 31);
  console.log(`seed ${seed}: repeat with LARGEFORGE_FAULT_SEED=${seed}`);
  const folders: string[] = [];
  const folder = () => {
    folders.push(mkdtempSync(join(tmpdir(), 'largeforge-kill-')));
    return folders.at(-1) as string;
  };
  try {
    const whole = await train(folder(), []);
    let killed = 0;
    const resumedAt: number[] = [];
    // A run ends after some kills: moments that came too late are drawn anew for the next run.
    for (let run = 0; killed < 50; run++) {
      const parts = await train(folder(), killsOf(seed + run, 10));
      expect(parts.weights, `kills of seed ${seed + run}`).toBe(whole.weights);
      expect(parts.damage).toEqual([]);
      killed += parts.killed;
      resumedAt.push(...parts.resumedAt);
    }
    console.log(`killed ${killed} times; went on at steps ${resumedAt.join(' ')}`);
  } finally {
    for (const made of folders) rmSync(made, { recursive: true });
  }
});
