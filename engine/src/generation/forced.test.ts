import { afterAll, beforeAll, expect, it } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import type { CausalLanguageModel } from '../models/model.js';
import { BLOCK_SIZE, hear, loadTiny, tinyEngine } from './company.fixture.js';
import { GenerationEngine } from './engine.js';
import { ModelExecutor } from './model-executor.js';
import { seeded } from './random.fixture.js';
import { type GenerateEvent, type GenerateRequest, greedy, type PositionLogprobs } from './request.js';
import { PromptLookup } from './speculation.js';

let device: Device;
let model: CausalLanguageModel;
beforeAll(() => {
  device = cpuDevice({ threads: 1, debug: false });
  model = loadTiny(device, 'llama', 'f32');
});
afterAll(() => {
  model.dispose();
  device.close();
});

const TOP = 3;

/** What an engine says of a text, and what follows it. */
async function score(engine: GenerationEngine, text: readonly number[], more: Partial<GenerateRequest> = {}) {
  const [first, ...forced] = text;
  const request = { promptTokens: [first!], forced, maxTokens: 4, sampling: greedy, logprobs: TOP, ...more };
  const tokens: number[] = [];
  let done: Extract<GenerateEvent, { type: 'done' }> | undefined;
  for await (const event of engine.generate(request)) {
    if (event.type === 'token') tokens.push(...event.tokens);
    else done = event;
  }
  return { tokens, done: done!, logprobs: done!.forcedLogprobs! };
}

/** The same of a text by asking what follows each of its beginnings. */
async function asked(text: readonly number[]): Promise<PositionLogprobs[]> {
  const engine = tinyEngine(model, { prefixCache: false });
  const vocabulary = model.config.vocabSize;
  const found: PositionLogprobs[] = [];
  for (let length = 1; length < text.length; length++) {
    const promptTokens = text.slice(0, length);
    const { logprobs } = await hear(engine, { promptTokens, maxTokens: 1, sampling: greedy, logprobs: vocabulary });
    const { top } = logprobs[0]!;
    const token = text[length]!;
    found.push({ token, logprob: top.find((entry) => entry.token === token)!.logprob, top: top.slice(0, TOP) });
  }
  await engine.close();
  return found;
}

function expectAlike(ours: readonly PositionLogprobs[], expected: readonly PositionLogprobs[]): void {
  expect(ours.map(({ token }) => token)).toEqual(expected.map(({ token }) => token));
  for (const [i, { logprob, top }] of expected.entries()) {
    expect(ours[i]!.logprob).toBeCloseTo(logprob, 4);
    expect(ours[i]!.top.map(({ token }) => token)).toEqual(top.map(({ token }) => token));
    for (const [k, entry] of top.entries()) expect(ours[i]!.top[k]!.logprob).toBeCloseTo(entry.logprob, 4);
  }
}

const textOf = (seed: number, length: number) => {
  const random = seeded(seed);
  return Array.from({ length }, () => random(model.config.vocabSize));
};

it('the log probabilities of a text are those of what follows each of its beginnings; then it goes on', async () => {
  const text = textOf(1, 40);
  const engine = tinyEngine(model, {});
  const { tokens, logprobs, done } = await score(engine, text);
  expectAlike(logprobs, await asked(text));
  const plain = await hear(engine, { promptTokens: text, maxTokens: 4, sampling: greedy });
  expect(tokens).toEqual(plain.tokens);
  expect(done).toMatchObject({ finishReason: 'length', usage: { promptTokens: 40, completionTokens: 4 } });
  expect(engine.stats()).toMatchObject({ generatedTokens: 8, draftTokens: 0 });
  await engine.close();
});

it('a text may be scored without going on, and with penalties, a bias and a seed that leave its scores alone', async () => {
  const text = textOf(2, 24);
  const engine = tinyEngine(model, {});
  const alone = await score(engine, text, { maxTokens: 0 });
  expect(alone.tokens).toEqual([]);
  expect(alone.done).toMatchObject({ finishReason: 'length', usage: { promptTokens: 24, completionTokens: 0 } });
  const sampling = {
    ...greedy,
    ...{ temperature: 1, seed: 5, repetitionPenalty: 1.5, logitBias: new Map([[text[3]!, -50]]) },
  };
  const drawn = await score(engine, text, { sampling });
  expect(drawn.logprobs).toEqual(alone.logprobs);
  const plain = await hear(engine, { promptTokens: text, maxTokens: 4, sampling });
  expect(drawn.tokens).toEqual(plain.tokens);
  await engine.close();
});

it('tokens that end texts end none that is there already', async () => {
  const text = textOf(3, 12);
  const executor = new ModelExecutor(model, { maxSequences: 2, blockSize: BLOCK_SIZE });
  const eosTokenIds = [...new Set(text)];
  const decoder = () => ({ push: () => '', flush: () => '' });
  const engine = new GenerationEngine({ executor, contextLength: 64, eosTokenIds, decoder });
  const { logprobs } = await score(engine, text, { stop: ['x'] });
  expect(logprobs.length).toBe(11);
  await engine.close();
});

it('many at once, in small steps and a cache that holds few of them, beside others that guess, are as alone', async () => {
  const limits = { maxBatchTokens: 48, maxSequences: 6, maxPrefillChunk: 13, maxSpeculating: 6 };
  const engine = tinyEngine(model, limits, { proposer: new PromptLookup({ minMatch: 1, tokens: 2 }) });
  const texts = Array.from({ length: 10 }, (_, i) => textOf(10 + i, 8 + 5 * i));
  const others = Array.from({ length: 4 }, (_, i) => ({
    promptTokens: textOf(50 + i, 9),
    maxTokens: 12,
    sampling: greedy,
  }));
  const [scored] = await Promise.all([
    Promise.all(texts.map((text, i) => score(engine, text, { priority: i % 2 }))),
    Promise.all(others.map((request) => hear(engine, request))),
  ]);
  expect(engine.stats().preemptions).toBeGreaterThan(0);
  expect(engine.stats().cacheBlocksUsed).toBe(0);
  await engine.close();
  for (const [i, text] of texts.entries()) expectAlike(scored[i]!.logprobs, await asked(text));
});

it('what cannot be is refused', async () => {
  const engine = tinyEngine(model, {});
  const request = { promptTokens: [1], sampling: greedy };
  expect(() => engine.generate({ ...request, maxTokens: 0 })).toThrow(/0 is not a positive integer/);
  expect(() => engine.generate({ ...request, forced: [1, 1e6], maxTokens: 1 })).toThrow(/forced\[1\]/);
  const long = new Array(model.config.maxPositions).fill(1);
  expect(() => engine.generate({ ...request, forced: long, maxTokens: 0 })).toThrow(/context/);
  await engine.close();
});
