import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import { elementBytes } from '../device/dtype.js';
import { asCausal } from '../models/load.js';
import { loadModel } from '../models/open.js';
import { hear } from './company.fixture.js';
import { GenerationEngine } from './engine.js';
import { type CacheType, ModelExecutor } from './model-executor.js';
import { greedy } from './request.js';

const base = fileURLToPath(new URL('../../../examples/quickstart/base', import.meta.url));
const CACHE_BYTES = 4 * 2 ** 20;
const MEBIBYTE = 2 ** 20;

/** Long prompts side by side on a device with so much memory: what they are answered with, and the engine's figures. */
async function answers(memoryLimit?: number) {
  const device = cpuDevice({ debug: false, threads: 1, ...(memoryLimit !== undefined && { memoryLimit }) });
  const model = asCausal(await loadModel(device, base, { weights: 'f32' }));
  model.prepare();
  await device.flush();
  const executor = new ModelExecutor(model, { maxSequences: 4, cacheBytes: CACHE_BYTES, batchInvariant: true });
  const loaded = device.memory().allocated;
  const engine = new GenerationEngine({
    executor,
    contextLength: 512,
    eosTokenIds: [],
    decoder: () => ({ push: () => '', flush: () => '' }),
    limits: { maxSequences: 4, maxBatchTokens: 1024, maxStallMilliseconds: 0 },
  });
  const promptOf = (i: number) => Array.from({ length: 240 }, (_, j) => 10 + ((i * 37 + j * j) % 700));
  const streams = [0, 1, 2, 3].map((i) => hear(engine, { promptTokens: promptOf(i), maxTokens: 8, sampling: greedy }));
  const tokens = (await Promise.allSettled(streams)).map((stream) =>
    stream.status === 'fulfilled' ? stream.value.tokens : (stream.reason as { code: string }).code,
  );
  const stats = engine.stats();
  await engine.close();
  device.close();
  return { tokens, stats, loaded };
}

it('goes on in smaller steps where memory is short, and says so when not even one token fits', async () => {
  const { tokens, loaded, stats } = await answers();
  expect(stats.splitSteps).toBe(0);
  const short = await answers(loaded + 6 * MEBIBYTE);
  expect(short.tokens).toEqual(tokens);
  expect(short.stats.splitSteps).toBeGreaterThan(0);
  expect(short.stats.cacheBlocksUsed).toBe(0);
  const none = await answers(loaded + 4096);
  expect(none.tokens).toEqual(tokens.map(() => 'LF_ENGINE_OUT_OF_MEMORY'));
  expect(none.stats.cacheBlocksUsed).toBe(0);
});

it('has room for more positions in the same memory when its cache is in 8 bits', async () => {
  const device = cpuDevice({ debug: false, threads: 1 });
  const model = asCausal(await loadModel(device, base, { weights: 'f32' }));
  const positions = (cacheType: CacheType) => {
    const executor = new ModelExecutor(model, { maxSequences: 64, cacheBytes: CACHE_BYTES, cacheType });
    executor.close();
    return executor.blockCount * executor.blockSize;
  };
  const { headDim } = model.config;
  // A scale of four bytes for each head and position.
  expect(positions('int8') / positions('model')).toBeCloseTo((elementBytes(model.dtype) * headDim) / (headDim + 4), 1);
  device.close();
});
