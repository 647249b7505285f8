import { afterAll, beforeAll, expect, it } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import type { CausalLanguageModel } from '../models/model.js';
import { hear, loadTiny, tinyEngine } from './company.fixture.js';
import { DraftModel } from './draft-model.js';
import { type GenerateRequest, greedy } from './request.js';
import { type DraftProposer, PromptLookup } from './speculation.js';

let device: Device;
beforeAll(() => {
  device = cpuDevice({ threads: 1, debug: false });
});
afterAll(() => device.close());

const prompt = [7, 21, 7, 40, 7, 21, 7, 40, 7, 21];
const KEPT = 3;
const SAMPLES = 1500;
/** The 0.999 quantile of the chi-square distribution with 3^3 - 1 degrees of freedom. */
const CRITICAL = 54.05;

/** Tokens that may follow a text and their probabilities, among the `KEPT` most likely. */
async function next(
  model: CausalLanguageModel,
  promptTokens: number[],
): Promise<[token: number, probability: number][]> {
  const engine = tinyEngine(model, {});
  const { logprobs } = await hear(engine, { promptTokens, maxTokens: 1, sampling: greedy, logprobs: KEPT });
  await engine.close();
  const { top } = logprobs[0]!;
  const total = top.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0);
  return top.map(({ token, logprob }) => [token, Math.exp(logprob) / total]);
}

/** Probability of every text of three tokens. */
async function distribution(model: CausalLanguageModel): Promise<Map<string, number>> {
  const texts = new Map<string, number>();
  for (const [a, p] of await next(model, prompt)) {
    for (const [b, q] of await next(model, [...prompt, a])) {
      for (const [c, r] of await next(model, [...prompt, a, b])) texts.set([a, b, c].join(), p * q * r);
    }
  }
  return texts;
}

it.each([
  ['prompt look-up', () => new PromptLookup({ minMatch: 1, tokens: 2 })],
  [
    'a draft model',
    (model: CausalLanguageModel): DraftProposer =>
      new DraftModel(model, { tokens: 2, vocabSize: model.config.vocabSize, maxSequences: 4 }),
  ],
])('texts drawn with guesses by %s have the distribution of the model', async (_, proposer) => {
  using model = loadTiny(device, 'llama', 'f32');
  const expected = await distribution(model);
  const engine = tinyEngine(
    model,
    { maxSequences: 16, maxSpeculating: 16 },
    { batchInvariant: false, proposer: proposer(model) },
  );
  const counts = new Map<string, number>();
  const draw = async (seed: number) => {
    const sampling = { ...greedy, temperature: 1, topK: KEPT, seed };
    // One token more, so that the last of the three may be a guess too.
    const request: GenerateRequest = { promptTokens: prompt, maxTokens: 4, sampling };
    const text = (await hear(engine, request)).tokens.slice(0, 3).join();
    counts.set(text, (counts.get(text) ?? 0) + 1);
  };
  for (let seed = 0; seed < SAMPLES; seed += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, i) => draw(seed + i)));
  }
  const { acceptedTokens, draftTokens } = engine.stats();
  await engine.close();
  // Both ways must have been taken often, or there is nothing to see.
  expect(acceptedTokens).toBeGreaterThan(SAMPLES / 50);
  expect(draftTokens - acceptedTokens).toBeGreaterThan(SAMPLES / 50);
  let chiSquare = 0;
  for (const [text, probability] of expected) {
    const wanted = SAMPLES * probability;
    chiSquare += ((counts.get(text) ?? 0) - wanted) ** 2 / wanted;
    counts.delete(text);
  }
  expect([...counts.keys()]).toEqual([]);
  expect(chiSquare).toBeLessThan(CRITICAL);
});
