import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { fixture, goldenFiles } from '../models/golden.fixture.js';
import { KvCache } from '../models/kv-cache.js';
import { asCausal, loadModelFiles } from '../models/load.js';
import type { CausalLanguageModel } from '../models/model.js';
import { AdapterSlots } from './adapter-slots.js';
import { DraftModel } from './draft-model.js';
import { GenerationEngine, type GenerationLimits } from './engine.js';
import { ModelExecutor } from './model-executor.js';
import { seeded } from './random.fixture.js';
import type { GenerateRequest, PositionLogprobs } from './request.js';
import { type DraftProposer, PromptLookup } from './speculation.js';

let device: Device;
beforeAll(() => {
  device = cpuDevice();
});
afterAll(() => device.close());

function load(name: string, dtype: 'f32' | 'bf16'): CausalLanguageModel {
  return asCausal(loadModelFiles(device, goldenFiles(name), { dtype }));
}

function makeEngine(model: CausalLanguageModel, limits: Partial<GenerationLimits>, proposer?: DraftProposer) {
  const maxSequences = limits.maxSequences ?? 8;
  const blockSize = 4;
  // Room for little more than one full sequence: company means preemption.
  const blocks = Math.ceil((1.25 * model.config.maxPositions) / blockSize);
  const cacheBytes = blocks * KvCache.blockBytes(model.config, blockSize, model.dtype);
  return new GenerationEngine({
    executor: new ModelExecutor(model, { maxSequences, cacheBytes, blockSize, batchInvariant: true }),
    contextLength: model.config.maxPositions,
    eosTokenIds: [],
    decoder: () => ({ push: () => '', flush: () => '' }),
    limits,
    proposer,
  });
}

interface Stream {
  tokens: number[];
  logprobs: number[];
}

async function collect(engine: GenerationEngine, request: GenerateRequest): Promise<Stream> {
  const stream: Stream = { tokens: [], logprobs: [] };
  for await (const event of engine.generate(request)) {
    if (event.type !== 'token') continue;
    stream.tokens.push(...event.tokens);
    stream.logprobs.push(...(event.logprobs as PositionLogprobs[]).map(({ logprob }) => logprob));
  }
  return stream;
}

const PROPOSERS = {
  'prompt look-up': () => new PromptLookup({ minMatch: 1, tokens: 3 }),
  // The model guesses for itself: right when a draw is greedy and without penalties and adapters, else by chance.
  'a draft model': (model: CausalLanguageModel) =>
    new DraftModel(model, { tokens: 3, vocabSize: model.config.vocabSize, maxSequences: 2 }),
};

describe.each([
  ['llama', 'f32', 'prompt look-up'],
  ['llama', 'bf16', 'prompt look-up'],
  ['llama', 'f32', 'a draft model'],
  ['qwen2-moe', 'f32', 'prompt look-up'],
  ['gemma2', 'bf16', 'prompt look-up'],
] as const)('streams of %s in company, %s, with guesses by %s', (name, dtype, guesses) => {
  it('are bit for bit what they are alone', async () => {
    using model = load(name, dtype);
    using adapters = new AdapterSlots(model);
    const first = adapters.load(fixture(`adapter-${name}`));
    const gone = adapters.load(fixture(`adapter-${name}`));
    const second = adapters.load(fixture(`adapter-${name}`));
    adapters.unload(gone);
    const random = seeded(11);
    const { vocabSize } = model.config;
    const common = Array.from({ length: 28 }, () => random(vocabSize));
    const requests = Array.from({ length: 24 }, (_, i): GenerateRequest => {
      const own = Array.from({ length: 1 + random(12) }, () => random(vocabSize));
      return {
        promptTokens: [...common.slice(0, random(28)), ...own],
        maxTokens: 4 + random(18),
        priority: random(2),
        adapter: [undefined, first, second][i % 3],
        logprobs: 0,
        sampling: {
          temperature: i % 2 === 0 ? 0 : 1,
          topP: 0.95,
          topK: 40,
          minP: 0,
          repetitionPenalty: i % 5 === 0 ? 1.2 : 1,
          presencePenalty: 0,
          frequencyPenalty: 0,
          seed: i,
        },
      };
    });
    const alone: Stream[] = [];
    for (const request of requests) {
      const engine = makeEngine(model, { prefixCache: false, maxPrefillChunk: 512 });
      alone.push(await collect(engine, request));
      await engine.close();
    }
    const engine = makeEngine(
      model,
      { maxBatchTokens: 48, maxSequences: 6, maxPrefillChunk: 13, maxSpeculating: 6 },
      PROPOSERS[guesses](model),
    );
    const together = await Promise.all(
      requests.map(async (request) => {
        await new Promise((resolve) => setTimeout(resolve, random(30)));
        return collect(engine, request);
      }),
    );
    const stats = engine.stats();
    await engine.close();
    expect(together).toEqual(alone);
    expect(stats.cachedTokens).toBeGreaterThan(0);
    expect(stats.acceptedTokens).toBeGreaterThan(0);
    expect(stats.draftTokens).toBeGreaterThan(stats.acceptedTokens);
    expect(stats.preemptions).toBeGreaterThan(0);
    expect(stats.cacheBlocksUsed).toBe(0);
  });
});
