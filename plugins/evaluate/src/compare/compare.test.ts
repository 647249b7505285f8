import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Evaluation, tinyBase } from '../evaluate.fixture.js';
import { compareScores } from './compare.js';
import { discordance, mcnemarExact, pairedBootstrap } from './statistics.js';

describe('the significance of a difference', () => {
  it.each([
    // scipy.stats.binomtest(lost, lost + gained, 0.5).pvalue
    [3, 12, 0.03515625],
    [0, 5, 0.0625],
    [7, 7, 1],
    [0, 0, 1],
    [40, 75, 0.001412957497608674],
  ])('of shares is that of the exact McNemar test: %i lost, %i gained', (lost, gained, pValue) => {
    expect(mcnemarExact({ lost, gained })).toBeCloseTo(pValue, 10);
  });

  it('of other figures comes from the paired bootstrap', () => {
    expect(discordance([1, 0, 1, 0], [0, 0, 1, 1])).toEqual({ lost: 1, gained: 1 });
    const mean = (pairs: readonly number[]) => pairs.reduce((sum, each) => sum + each, 0) / pairs.length;
    const clear = pairedBootstrap([0.2, 0.3, 0.25, 0.4, 0.1, 0.3], mean);
    expect(clear.pValue).toBeLessThan(0.01);
    expect(clear.interval95[0]).toBeGreaterThan(0.1);
    expect(pairedBootstrap([0.2, -0.3, 0.25, -0.4, 0.1, 0.1], mean).pValue).toBeGreaterThan(0.3);
    expect(pairedBootstrap([0, 0, 0], mean)).toMatchObject({ difference: 0, pValue: 1 });
  });

  it('is told of documents that both models were asked, by their content', () => {
    const scores = (values: Record<string, number>) => new Map([['task acc,none', new Map(Object.entries(values))]]);
    const before = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`q${i}`, 1]));
    const after = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`q${i}`, i < 9 ? 0 : 1]));
    const [comparison] = compareScores(scores({ ...before, gone: 1 }), scores({ ...after, fresh: 1 }), 0.05);
    expect(comparison).toMatchObject({
      documents: 12,
      baseline: 1,
      candidate: 0.25,
      lost: 9,
      gained: 0,
      test: 'McNemar',
      verdict: 'worse',
    });
    const perplexity = (logLikelihoods: number[]) =>
      new Map([['perplexity', new Map(logLikelihoods.map((each, i) => [`${i}`, { logLikelihood: each, weight: 4 }]))]]);
    const [better] = compareScores(perplexity([-8, -9, -8, -9, -10]), perplexity([-6, -7, -6, -7, -8]), 0.05);
    expect(better).toMatchObject({ test: 'bootstrap', verdict: 'better' });
    expect(better!.candidate).toBeCloseTo(Math.exp(34 / 20), 10);
  });
});

describe('a comparison step', () => {
  let evaluation: Evaluation;
  beforeEach(async () => {
    evaluation = await Evaluation.start();
  });
  afterEach(() => evaluation[Symbol.asyncDispose]());

  const answers = (correct: (i: number) => boolean) =>
    JSON.stringify({ answers: Array.from({ length: 20 }, (_, i) => ({ question: `q${i}`, correct: correct(i) })) });

  it('stops a pipeline whose new model is significantly worse, and says by how much', async () => {
    const baseline = evaluation.write(
      'before.json',
      answers((i) => i < 15),
    );
    const worse = evaluation.write(
      'worse.json',
      answers((i) => i < 5),
    );
    const alike = evaluation.write(
      'alike.json',
      answers((i) => i > 0 && i < 15),
    );
    await expect(evaluation.run('compare', { baseline, candidate: worse })).rejects.toMatchObject({
      code: 'LF_EVALUATE_REGRESSION',
      exitCode: 3,
      message: expect.stringContaining('accuracy 0.7500 -> 0.2500'),
    });
    const outputs = await evaluation.run('compare', { baseline, candidate: alike });
    expect(outputs).toMatchObject({ worse: [], better: [] });
    expect(JSON.parse(readFileSync(outputs.comparison as string, 'utf8')).comparisons[0].lost).toBe(1);
    await expect(evaluation.run('compare', { baseline, candidate: alike, maxDrop: 0.01 })).rejects.toThrow('0.7000');
    expect(await evaluation.run('compare', { baseline: worse, candidate: baseline })).toMatchObject({
      better: ['accuracy'],
    });
    const off = { baseline, candidate: worse, failOnRegression: false };
    expect(await evaluation.run('compare', off)).toMatchObject({ worse: ['accuracy'] });
  });

  it('reads what the steps perplexity and tasks have written', async () => {
    const dataset = evaluation.write('text.txt', 'put oat milk on the shopping list. '.repeat(30));
    const options = { model: tinyBase, dataset, window: 32 };
    const { results: baseline } = await evaluation.run('perplexity', { ...options, dtype: 'f32' });
    const kept = evaluation.write('baseline.json', readFileSync(baseline as string, 'utf8'));
    const { results: candidate } = await evaluation.run('perplexity', { ...options, dtype: 'bf16' });
    const outputs = await evaluation.run('compare', { baseline: kept, candidate, failOnRegression: false });
    const { comparisons } = JSON.parse(readFileSync(outputs.comparison as string, 'utf8'));
    expect(comparisons[0].name).toBe('perplexity');
    expect(comparisons[0].candidate / comparisons[0].baseline).toBeCloseTo(1, 1);
  });

  it('names results that cannot be compared', async () => {
    const baseline = evaluation.write(
      'before.json',
      answers(() => true),
    );
    const fails = (candidate: string) => expect(evaluation.run('compare', { baseline, candidate })).rejects;
    await fails(evaluation.write('none.json', '{}')).toThrow('none.json');
    await fails(evaluation.write('broken.json', '{')).toMatchObject({ code: 'LF_EVALUATE_RESULTS' });
    await fails(evaluation.write('tasks.json', '{"results": {"arc": {}}}')).toThrow('samples_arc.jsonl');
    await fails(evaluation.write('empty.json', '{"answers": []}')).toMatchObject({
      code: 'LF_EVALUATE_NOTHING_SHARED',
    });
  });
});
