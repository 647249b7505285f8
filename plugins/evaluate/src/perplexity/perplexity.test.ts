import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Evaluation, tinyBase } from '../evaluate.fixture.js';
import { perplexityFigures, textSize } from './figures.js';
import { stridedWindows } from './windows.js';

const upTo = (length: number) => Int32Array.from({ length }, (_, i) => i);
/** Which tokens of the text each window scores, and how many stand before the first of them. */
const scored = (options: Parameters<typeof stridedWindows>[1], length = 10) =>
  stridedWindows(upTo(length), options).map(({ tokens, from }) => [Array.from(tokens.subarray(from)), from]);

describe('windows of a text', () => {
  it('without overlap leave their first token out, and keep a rest', () => {
    expect(scored({ window: 4, stride: 4 })).toEqual([
      [[1, 2, 3], 1],
      [[5, 6, 7], 1],
      [[9], 1],
    ]);
    expect(scored({ window: 4, stride: 4 }, 9)).toHaveLength(2);
    expect(scored({ window: 4, stride: 4, maxWindows: 1 })).toEqual([[[1, 2, 3], 1]]);
  });

  it('with overlap score each token once, given what stands before it in its window', () => {
    expect(scored({ window: 4, stride: 2 })).toEqual([
      [[1, 2, 3], 1],
      [[4, 5], 2],
      [[6, 7], 2],
      [[8, 9], 2],
    ]);
  });

  it('with BOS score every token', () => {
    expect(scored({ window: 4, stride: 3, bos: 99 })).toEqual([
      [[0, 1, 2], 1],
      [[3, 4, 5], 1],
      [[6, 7, 8], 1],
      [[9], 1],
    ]);
    expect(scored({ window: 4, stride: 2, bos: 99 }, 6)).toEqual([
      [[0, 1, 2], 1],
      [[3, 4], 2],
      [[5], 2],
    ]);
  });
});

describe('perplexity figures', () => {
  it('follow from the likelihoods', () => {
    const window = (...logprobs: number[]) => ({
      logprobs: Float32Array.from(logprobs),
      logLikelihood: logprobs.reduce((a, b) => a + b, 0),
      greedy: false,
    });
    const figures = perplexityFigures([window(-1, -3), window(-2, -2, -4)], { tokens: 6, words: 3, bytes: 24 });
    expect(figures.perplexity).toBeCloseTo(Math.exp(12 / 5));
    expect(figures.wordPerplexity).toBeCloseTo(Math.exp((12 / 5) * 2));
    expect(figures.bitsPerByte).toBeCloseTo(((12 / 5) * 0.25) / Math.log(2));
    const [low, high] = figures.interval95!;
    // The residuals of the two windows are 0.8 and -0.8: sqrt(2 * 2 * 0.64) / 5.
    expect(Math.log(high / low) / 2).toBeCloseTo((1.96 * Math.sqrt(2.56)) / 5, 3);
    expect(textSize('eins  zwei\ndrei ä', 4)).toEqual({ tokens: 4, words: 4, bytes: 18 });
  });
});

describe('a perplexity step', () => {
  let folder: Evaluation;
  beforeEach(async () => {
    folder = await Evaluation.start();
  });
  afterEach(() => folder[Symbol.asyncDispose]());

  const text = 'please put oat milk on the shopping list. wake me up at seven tomorrow. '.repeat(12);

  it('tells real language from noise, and writes what it found', async () => {
    const sense = folder.write('sense.txt', text);
    const noise = folder.write('noise.txt', text.split('').reverse().join(''));
    const options = { model: tinyBase, window: 64, stride: 32, dtype: 'f32' };
    const outputs = await folder.run('perplexity', { ...options, dataset: sense });
    const worse = await folder.run('perplexity', { ...options, dataset: noise });
    expect(outputs.perplexity).toBeLessThan(worse.perplexity as number);
    expect(folder.test.eventsOf('table')[0]!.columns[0]).toBe('perplexity');
    const results = JSON.parse(readFileSync(worse.results as string, 'utf8'));
    expect(results.perplexity).toBe(worse.perplexity);
    expect(results.windows).toBeGreaterThan(2);
  });

  it('joins the documents of a .jsonl file by the separator', async () => {
    const rows = folder.write('rows.jsonl', [{ text: text.slice(0, 300) }, { text: text.slice(300) }]);
    const whole = folder.write('whole.txt', text);
    const options = { model: tinyBase, window: 64, dtype: 'f32' };
    const joined = await folder.run('perplexity', { ...options, dataset: rows, separator: '' });
    const plain = await folder.run('perplexity', { ...options, dataset: whole });
    expect(joined.perplexity).toBe(plain.perplexity);
  });

  it('fails above failOver, with the figure in its message', async () => {
    const dataset = folder.write('text.txt', text);
    await expect(
      folder.run('perplexity', { model: tinyBase, dataset, window: 64, failOver: 1.001 }),
    ).rejects.toMatchObject({ code: 'LF_EVALUATE_ABOVE', exitCode: 3 });
  });

  it('names what is wrong with its input', async () => {
    const dataset = folder.write('text.txt', text);
    const fails = (options: Record<string, unknown>) =>
      expect(folder.run('perplexity', { model: tinyBase, dataset, ...options })).rejects;
    await fails({ dataset: folder.write('short.txt', 'a') }).toThrow('nothing can be scored');
    await fails({ dataset: './missing.txt' }).toThrow('missing.txt cannot be read');
    await fails({ dataset: folder.write('bad.jsonl', '{"text": "a"}\n{"content": "b"}\n') }).toThrow('bad.jsonl:2');
    await fails({ dataset: folder.write('broken.jsonl', '{"text"\n') }).toThrow('broken.jsonl:1');
    await fails({ window: 1_000_000 }).toThrow('window 1000000 is more than');
    await fails({ window: 64, stride: 65 }).toThrow('stride 65 is more than the 64');
  });
});
