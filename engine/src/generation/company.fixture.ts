import { expect } from 'vitest';
import type { Device } from '../device/device.js';
import { fixture, goldenFiles } from '../models/golden.fixture.js';
import { KvCache } from '../models/kv-cache.js';
import { asCausal, loadModelFiles } from '../models/load.js';
import type { CausalLanguageModel } from '../models/model.js';
import { AdapterSlots } from './adapter-slots.js';
import { GenerationEngine, type GenerationLimits, type GenerationOptions, type GenerationStats } from './engine.js';
import { checkStep } from './invariants.fixture.js';
import { type CacheType, ModelExecutor } from './model-executor.js';
import { seeded } from './random.fixture.js';
import type { GenerateRequest, PositionLogprobs } from './request.js';
import type { DraftProposer } from './speculation.js';

/** Positions in a block of the cache: short ones, so that short sequences have several. */
export const BLOCK_SIZE = 4;

export function loadTiny(device: Device, name: string, dtype: 'f32' | 'bf16'): CausalLanguageModel {
  return asCausal(loadModelFiles(device, goldenFiles(name), { dtype }));
}

/**
 * An engine over a tiny model whose cache has room for little more than one full sequence: company means preemption. What the
 * scheduler promises is asserted of every step.
 */
export function tinyEngine(
  model: CausalLanguageModel,
  limits: Partial<GenerationLimits>,
  {
    batchInvariant = true,
    cacheType = 'model',
    proposer,
  }: { batchInvariant?: boolean; cacheType?: CacheType; proposer?: DraftProposer } = {},
): GenerationEngine {
  const maxSequences = limits.maxSequences ?? 8;
  const blocks = Math.ceil((1.25 * model.config.maxPositions) / BLOCK_SIZE);
  const cacheBytes = blocks * KvCache.blockBytes(model.config, BLOCK_SIZE, cacheType === 'int8' ? 'i8' : model.dtype);
  const bounds = { maxBatchTokens: limits.maxBatchTokens ?? 512, maxSequences, blockSize: BLOCK_SIZE };
  const options: GenerationOptions = {
    executor: new ModelExecutor(model, { maxSequences, cacheBytes, cacheType, blockSize: BLOCK_SIZE, batchInvariant }),
    contextLength: model.config.maxPositions,
    eosTokenIds: [],
    decoder: () => ({ push: () => '', flush: () => '' }),
    limits: { ...limits, maxSequences },
    proposer,
    onStep: (step, scheduler) => checkStep(step, scheduler, bounds),
  };
  return new GenerationEngine(options);
}

/** A stream as its reader saw it: whole, or up to the moment when the reader left. */
export interface Heard {
  readonly tokens: number[];
  readonly logprobs: PositionLogprobs[];
}

/** @param leaveAfter tokens after which the reader leaves */
export async function hear(engine: GenerationEngine, request: GenerateRequest, leaveAfter = Infinity): Promise<Heard> {
  const heard: Heard = { tokens: [], logprobs: [] };
  for await (const event of engine.generate(request)) {
    if (event.type !== 'token') continue;
    heard.tokens.push(...event.tokens);
    heard.logprobs.push(...(event.logprobs ?? []));
    if (heard.tokens.length >= leaveAfter) break;
  }
  return heard;
}

/** Random requests to a model and two adapters of it, some of which begin alike. */
export function drawRequests(
  random: (n: number) => number,
  count: number,
  { config }: CausalLanguageModel,
  adapters: readonly (GenerateRequest['adapter'] | undefined)[],
): GenerateRequest[] {
  const common = Array.from({ length: 28 }, () => random(config.vocabSize));
  return Array.from({ length: count }, (_, i) => ({
    promptTokens: [
      ...common.slice(0, random(28)),
      ...Array.from({ length: 1 + random(12) }, () => random(config.vocabSize)),
    ],
    maxTokens: 4 + random(18),
    priority: random(2),
    adapter: adapters[i % adapters.length],
    logprobs: 1,
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
  }));
}

/**
 * Requests alone, one after the other, and all of them together, at random moments, with readers that leave early: every
 * stream must be the same, bit for bit. Returns the figures of the company.
 */
export async function expectCompanyChangesNothing(
  device: Device,
  {
    name,
    dtype,
    cacheType,
    seed,
    count,
  }: { name: string; dtype: 'f32' | 'bf16'; cacheType?: CacheType; seed: number; count: number },
  proposer: (model: CausalLanguageModel) => DraftProposer,
): Promise<GenerationStats> {
  using model = loadTiny(device, name, dtype);
  using adapters = new AdapterSlots(model);
  const first = adapters.load(fixture(`adapter-${name}`));
  const gone = adapters.load(fixture(`adapter-${name}`));
  const second = adapters.load(fixture(`adapter-${name}`));
  adapters.unload(gone);
  const random = seeded(seed);
  const requests = drawRequests(random, count, model, [undefined, first, second]);
  const alone: Heard[] = [];
  for (const request of requests) {
    const engine = tinyEngine(model, { prefixCache: false, maxPrefillChunk: 512 }, { cacheType });
    alone.push(await hear(engine, request));
    await engine.close();
  }
  const limits = { maxBatchTokens: 48, maxSequences: 6, maxPrefillChunk: 13, maxSpeculating: 6 };
  const engine = tinyEngine(model, limits, { cacheType, proposer: proposer(model) });
  await Promise.all(
    requests.map(async (request, i) => {
      const leaveAfter = random(5) === 0 ? 1 + random(4) : Infinity;
      await new Promise((resolve) => setTimeout(resolve, random(30)));
      const heard = await hear(engine, request, leaveAfter);
      const whole = alone[i]!;
      const length = leaveAfter === Infinity ? whole.tokens.length : heard.tokens.length;
      const expected = { tokens: whole.tokens.slice(0, length), logprobs: whole.logprobs.slice(0, length) };
      expect(heard, `request ${i} of seed ${seed}`).toEqual(expected);
    }),
  );
  const stats = engine.stats();
  await engine.close();
  expect(stats.cacheBlocksUsed).toBe(0);
  return stats;
}
