import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { drawRequests, hear, loadTiny, tinyEngine } from './company.fixture.js';
import { seeded } from './random.fixture.js';
import { greedy } from './request.js';
import { PromptLookup } from './speculation.js';

let device: Device;
beforeAll(() => {
  device = cpuDevice({ threads: 1, debug: false });
});
afterAll(() => device.close());

/**
 * Without the batch-invariant mode the sums of a product may be taken in another order in another batch. A greedy stream may
 * then go another way where its two best tokens were nearly as likely: by no more than this (difference of the logarithms of
 * their probabilities), which the README states.
 */
const EPSILON = { f32: 1e-4, bf16: 0.1 };

describe.each([
  ['llama', 'f32'],
  ['llama', 'bf16'],
  ['gemma2', 'bf16'],
] as const)('in the default mode, greedy streams of %s in %s', (name, dtype) => {
  it(`differ from those alone only where the two best tokens are within ${EPSILON[dtype]}`, async () => {
    using model = loadTiny(device, name, dtype);
    const random = seeded(5);
    const requests = drawRequests(random, 24, model, [undefined]).map((request) => ({
      ...request,
      logprobs: 2,
      sampling: greedy,
    }));
    const alone = [];
    for (const request of requests) {
      const engine = tinyEngine(model, { prefixCache: false }, { batchInvariant: false });
      alone.push(await hear(engine, request));
      await engine.close();
    }
    const limits = { maxBatchTokens: 48, maxSequences: 6, maxPrefillChunk: 13, maxSpeculating: 6 };
    const proposer = new PromptLookup({ minMatch: 1, tokens: 3 });
    const engine = tinyEngine(model, limits, { batchInvariant: false, proposer });
    const together = await Promise.all(requests.map((request) => hear(engine, request)));
    await engine.close();
    together.forEach(({ tokens, logprobs: found }, i) => {
      const { tokens: expected, logprobs } = alone[i]!;
      const at = tokens.findIndex((token, position) => token !== expected[position]);
      found.slice(0, at < 0 ? undefined : at).forEach(({ logprob }, position) => {
        expect(Math.abs(logprob - logprobs[position]!.logprob)).toBeLessThan(EPSILON[dtype] / 2);
      });
      if (at < 0) return;
      const [best, second] = logprobs[at]!.top;
      expect(best!.logprob - second!.logprob, `stream ${i} at token ${at}`).toBeLessThan(EPSILON[dtype]);
    });
  });
});
