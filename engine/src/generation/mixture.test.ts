import { afterAll, beforeAll, expect, it } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { packSequences } from '../models/batch.js';
import { goldenFiles } from '../models/golden.fixture.js';
import { asCausal, loadModelFiles } from '../models/load.js';
import type { CausalLanguageModel } from '../models/model.js';
import { scope } from '../tensor/scope.js';
import { GenerationEngine } from './engine.js';
import { type MixedModel, ModelExecutor } from './model-executor.js';
import { greedy, type PositionLogprobs } from './request.js';

let device: Device;
beforeAll(() => {
  device = cpuDevice();
});
afterAll(() => device.close());

const load = (name: string): CausalLanguageModel =>
  asCausal(loadModelFiles(device, goldenFiles(name), { dtype: 'f32' }));

/** A greedy stream: its tokens and what their logarithms of probabilities were. */
async function stream(
  models: CausalLanguageModel | readonly MixedModel[],
  promptTokens: readonly number[],
  count: number,
) {
  const engine = new GenerationEngine({
    executor: new ModelExecutor(models, { maxSequences: 2, blockSize: 4 }),
    contextLength: 64,
    eosTokenIds: [],
    decoder: () => ({ push: () => '', flush: () => '' }),
  });
  const tokens: number[] = [];
  const logprobs: number[] = [];
  const request = { promptTokens, maxTokens: count, sampling: greedy, logprobs: 0 };
  for await (const event of engine.generate(request)) {
    if (event.type !== 'token') continue;
    tokens.push(...event.tokens);
    logprobs.push(...(event.logprobs as PositionLogprobs[]).map(({ logprob }) => logprob));
  }
  await engine.close();
  return { tokens, logprobs };
}

/** Logits after a whole sequence, without a cache. */
async function lastLogits(model: CausalLanguageModel, sequence: readonly number[]): Promise<Float64Array> {
  const logits = scope(() => model.logits(model.hidden(packSequences([Int32Array.from(sequence)]))));
  const values = await logits.floats();
  logits.dispose();
  return Float64Array.from(values.subarray(-model.config.vocabSize));
}

const prompt = [5, 17, 40, 3, 22, 9, 31];

it('a mixture draws each token from the weighted geometric mean of its models, whatever their architectures', async () => {
  const [first, second] = [load('llama'), load('gpt2')];
  const weights = [3, 1];
  const found = await stream(
    [
      { model: first, weight: weights[0]! },
      { model: second, weight: weights[1]! },
    ],
    prompt,
    12,
  );
  const sequence = [...prompt];
  for (let i = 0; i < found.tokens.length; i++) {
    const [a, b] = [await lastLogits(first, sequence), await lastLogits(second, sequence)];
    const mean = a.map((value, token) => 0.75 * value + 0.25 * b[token]!);
    const top = Math.max(...mean);
    expect(found.tokens[i]).toBe(mean.indexOf(top));
    const total = mean.reduce((sum, value) => sum + Math.exp(value - top), 0);
    expect(found.logprobs[i]).toBeCloseTo(-Math.log(total), 4);
    sequence.push(found.tokens[i]!);
  }
  expect(found.tokens).toHaveLength(12);
  const alone = await stream(first, prompt, 12);
  expect(alone.tokens).not.toEqual(found.tokens);
  first.dispose();
  second.dispose();
});

it('a mixture of a model with itself is that model', async () => {
  const model = load('qwen3');
  const [alone, twice] = [
    await stream(model, prompt, 16),
    await stream(
      [0.2, 0.8].map((weight) => ({ model, weight })),
      prompt,
      16,
    ),
  ];
  expect(twice.tokens).toEqual(alone.tokens);
  twice.logprobs.forEach((value, i) => {
    expect(value).toBeCloseTo(alone.logprobs[i]!, 4);
  });
  model.dispose();
});
