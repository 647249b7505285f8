import { describe, expect, it } from 'vitest';
import { Evaluation, tinyBase } from '../evaluate.fixture.js';
import { percentile } from './profile.js';

describe('a profile', () => {
  it('tells first tokens, throughput and memory of a model that is loaded here', async () => {
    await using evaluation = await Evaluation.start();
    const options = { model: tinyBase, promptWords: 20, newTokens: 8, concurrency: [1, 2], rounds: 1 };
    const outputs = await evaluation.run('profile', options);
    expect(outputs.memoryBytes).toBeGreaterThan(1e6);
    expect(outputs.peakResidentBytes).toBeGreaterThan(outputs.memoryBytes as number);
    expect(outputs.firstTokenSeconds).toBeGreaterThan(0);
    const [table] = evaluation.test.eventsOf('table');
    expect(table!.rows.map(([concurrency]) => concurrency)).toEqual([1, 2]);
  });

  it('takes percentiles by nearest rank', () => {
    const values = [5, 1, 4, 2, 3];
    expect([0.5, 0.95, 0.2].map((share) => percentile(values, share))).toEqual([3, 5, 1]);
    expect(percentile([], 0.5)).toBe(0);
  });
});
