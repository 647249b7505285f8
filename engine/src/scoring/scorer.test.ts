import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { CAUSAL, golden, goldenFiles } from '../models/golden.fixture.js';
import { asCausal, loadModelFiles } from '../models/load.js';
import type { CausalLanguageModel } from '../models/model.js';
import { groupByPrefix } from './prefix-groups.js';
import { SequenceScorer } from './scorer.js';
import type { ScoredSequence } from './sequence.js';

let device: Device;
beforeAll(() => {
  device = cpuDevice();
});
afterAll(() => device.close());

const load = (name: string): CausalLanguageModel =>
  asCausal(loadModelFiles(device, goldenFiles(name), { dtype: 'f32' }));

/** A context and the choices that follow it. */
function choices(context: number[], ends: number[][]): ScoredSequence[] {
  return ends.map((end) => ({ tokens: Int32Array.from([...context, ...end]), from: context.length }));
}

const count = (length: number, seed: number) => Array.from({ length }, (_, i) => 3 + ((i * 7 + seed * 13) % 60));

describe('the score of given tokens', () => {
  it.each(CAUSAL)('%s: is the log-softmax of the logits that transformers computes', async (name) => {
    const { sequences, ...rest } = golden(name);
    const logits = rest.floats('logits');
    const width = 64;
    const scores = await new SequenceScorer(load(name)).score(sequences.map((tokens) => ({ tokens, from: 1 })));
    let row = 0;
    sequences.forEach((tokens, b) => {
      let greedy = true;
      for (let t = 1; t < tokens.length; t++) {
        const values = logits.subarray((row + t - 1) * width, (row + t) * width);
        const largest = values.reduce((a, b) => Math.max(a, b));
        const sum = values.reduce((total, value) => total + Math.exp(value - largest), 0);
        expect(scores[b]!.logprobs[t - 1]).toBeCloseTo(values[tokens[t]!]! - largest - Math.log(sum), 4);
        greedy &&= values.indexOf(largest) === tokens[t];
      }
      expect(scores[b]!.greedy).toBe(greedy);
      expect(scores[b]!.logprobs.length).toBe(tokens.length - 1);
      row += tokens.length;
    });
  });

  it.each(['llama', 'gemma2', 'gpt-neox', 'qwen3-moe', 'mistral'])(
    '%s: is the same with shared prefixes',
    async (name) => {
      const model = load(name);
      const ends = [[5], [6, 7, 8], [5, 9], count(20, 3)];
      const sequences = [
        ...choices(count(30, 1), ends),
        ...choices(count(16, 2), [[4], [5]]),
        ...choices([...count(9, 1), 50], [[4], [5]]),
        ...choices(count(3, 5), [[1, 2, 3]]),
      ];
      const alone = await new SequenceScorer(model, { sharePrefixes: false, batchTokens: 64 }).score(sequences);
      for (const batchTokens of [2048, 64]) {
        const progress: number[] = [];
        const shared = await new SequenceScorer(model, { batchTokens }).score(sequences, {
          onProgress: (done) => progress.push(done),
        });
        expect(progress.at(-1)).toBe(sequences.length);
        shared.forEach((score, i) => {
          expect(score.logLikelihood).toBeCloseTo(alone[i]!.logLikelihood, 3);
          const differences = score.logprobs.map((value, t) => Math.abs(value - alone[i]!.logprobs[t]!));
          expect(Math.max(...differences)).toBeLessThan(1e-4);
          expect(score.greedy).toBe(alone[i]!.greedy);
        });
      }
    },
  );

  it('refuses sequences in which nothing can be scored', async () => {
    const scorer = new SequenceScorer(load('llama'));
    await expect(scorer.score([{ tokens: Int32Array.of(1, 2), from: 0 }])).rejects.toMatchObject({
      code: 'LF_ENGINE_SCORE_RANGE',
    });
    await expect(scorer.score([{ tokens: Int32Array.of(1, 2), from: 2 }])).rejects.toThrow('token 2');
  });

  it('ends between two batches when it is aborted', async () => {
    const stop = new AbortController();
    const sequences = choices(count(30, 1), [[1], [2]]).concat(choices(count(30, 9), [[1], [2]]));
    const run = new SequenceScorer(load('llama'), { batchTokens: 32, sharePrefixes: false }).score(sequences, {
      signal: stop.signal,
      onProgress: () => stop.abort(new Error('enough')),
    });
    await expect(run).rejects.toThrow('enough');
  });
});

describe('groups of sequences with a common beginning', () => {
  it('share the text of their question, and never a scored token', () => {
    const sequences = [
      ...choices(count(40, 1), [[1], [2], [3, 4]]),
      ...choices(count(40, 8), [
        [1, 1],
        [1, 2],
      ]),
    ];
    const groups = groupByPrefix(sequences, 1000);
    expect(groups.map(({ prefix, members }) => [prefix, [...members].sort()]).sort()).toEqual([
      [39, [0, 1, 2]],
      [39, [3, 4]],
    ]);
    expect(groups.map(({ cost }) => cost)).toEqual([39 + 1 + 1 + 2, 39 + 2 + 2]);
  });

  it('stay apart when they have little in common, and are split when they become too large', () => {
    const few = groupByPrefix(choices(count(5, 1), [[1], [2]]), 1000);
    expect(few.map(({ prefix }) => prefix)).toEqual([0, 0]);
    const many = groupByPrefix(
      choices(
        count(20, 1),
        Array.from({ length: 50 }, (_, i) => [i]),
      ),
      30,
    );
    expect(many.length).toBeGreaterThan(2);
    expect(many.every(({ cost }) => cost <= 30)).toBe(true);
  });
});
