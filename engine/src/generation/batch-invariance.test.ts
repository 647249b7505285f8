import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { goldenFiles } from '../models/golden.fixture.js';
import { KvCache } from '../models/kv-cache.js';
import { asCausal, loadModelFiles } from '../models/load.js';
import { serveAdapters } from '../models/lora/index.js';
import type { CausalLanguageModel } from '../models/model.js';
import { Tensor } from '../tensor/tensor.js';
import { GenerationEngine, type GenerationLimits } from './engine.js';
import { ModelExecutor } from './model-executor.js';
import { seeded } from './random.fixture.js';
import type { GenerateRequest, PositionLogprobs } from './request.js';
import { type DraftProposer, PromptLookup } from './speculation.js';

const ADAPTERS = 2;
let device: Device;
beforeAll(() => {
  device = cpuDevice();
});
afterAll(() => device.close());

function load(dtype: 'f32' | 'bf16'): CausalLanguageModel {
  const model = asCausal(loadModelFiles(device, goldenFiles('llama', { weights: 'llama' }), { dtype }));
  const random = seeded(5);
  const matrix = (rows: number, columns: number) =>
    Tensor.from(
      device,
      Float32Array.from({ length: rows * columns }, () => random(1000) / 1000 - 0.5),
      [rows, columns],
      'f32',
      'persistent',
    );
  const adapters = Array.from(
    { length: ADAPTERS },
    (_, index) =>
      new Map(
        [...model.linears].map(([name, { inFeatures, outFeatures }]) => {
          const rank = 2 + index;
          return [name, { a: matrix(rank, inFeatures), b: matrix(outFeatures, rank), scale: 0.5 }];
        }),
      ),
  );
  serveAdapters(model, adapters);
  return model;
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

describe.each(['f32', 'bf16'] as const)('streams in company, %s', (dtype) => {
  it('are bit for bit what they are alone', async () => {
    using model = load(dtype);
    const random = seeded(11);
    const { vocabSize } = model.config;
    const common = Array.from({ length: 28 }, () => random(vocabSize));
    const requests = Array.from({ length: 24 }, (_, i): GenerateRequest => {
      const own = Array.from({ length: 1 + random(12) }, () => random(vocabSize));
      return {
        promptTokens: [...common.slice(0, random(28)), ...own],
        maxTokens: 4 + random(18),
        priority: random(2),
        adapter: i % 3 === 0 ? undefined : i % ADAPTERS,
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
      new PromptLookup({ minMatch: 1, tokens: 3 }),
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
    expect(stats.draftTokens).toBeGreaterThan(0);
    expect(stats.preemptions).toBeGreaterThan(0);
    expect(stats.cacheBlocksUsed).toBe(0);
  });
});
