import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { killsOf, train } from './faults/killed-training.js';

it('training that is killed at ten moments and resumed gives the weights of the run that was not', async () => {
  const folders = [1, 2].map(() => mkdtempSync(join(tmpdir(), 'largeforge-kill-')));
  const [calm, hunted] = folders as [string, string];
  try {
    const [whole, parts] = [await train(calm, []), await train(hunted, killsOf(1, 10))];
    expect(parts.killed).toBeGreaterThan(5);
    expect(Math.max(...parts.resumedAt)).toBeGreaterThan(0);
    expect(parts.damage).toEqual([]);
    expect(parts.weights).toBe(whole.weights);
  } finally {
    for (const folder of folders) rmSync(folder, { recursive: true });
  }
});
