import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import type { CausalLanguageModel } from '../models/model.js';
import { expectCompanyChangesNothing } from './company.fixture.js';
import { DraftModel } from './draft-model.js';
import { PromptLookup } from './speculation.js';

let device: Device;
beforeAll(() => {
  device = cpuDevice({ debug: false });
});
afterAll(() => device.close());

const PROPOSERS = {
  'prompt look-up': () => new PromptLookup({ minMatch: 1, tokens: 3 }),
  // The model guesses for itself: right when a draw is greedy and without penalties and adapters, else by chance.
  'a draft model': (model: CausalLanguageModel) =>
    new DraftModel(model, { tokens: 3, vocabSize: model.config.vocabSize, maxSequences: 2 }),
};

/** `npm run test:load` runs many more schedules, drawn anew each time. */
const whole = process.env.LARGEFORGE_LOAD === 'whole';
const chosen = Number(process.env.LARGEFORGE_LOAD_SEED ?? Date.now() % 2 ** 31);
const seeds = whole ? Array.from({ length: 6 }, (_, i) => chosen + i) : [11];
if (whole) console.log(`seed ${chosen}: repeat with LARGEFORGE_LOAD_SEED=${chosen}`);

describe.each([
  ['llama', 'f32', 'model', 'prompt look-up'],
  ['llama', 'bf16', 'model', 'prompt look-up'],
  ['llama', 'bf16', 'int8', 'prompt look-up'],
  ['llama', 'f32', 'model', 'a draft model'],
  ['qwen2-moe', 'f32', 'model', 'prompt look-up'],
  ['gemma2', 'bf16', 'model', 'prompt look-up'],
] as const)('streams of %s in company, %s, cached as %s, with guesses by %s', (name, dtype, cacheType, guesses) => {
  it('are bit for bit what they are alone', { timeout: whole ? 600_000 : 60_000 }, async () => {
    for (const seed of seeds) {
      const size = { name, dtype, cacheType, seed, count: whole ? 60 : 24 };
      const stats = await expectCompanyChangesNothing(device, size, PROPOSERS[guesses]);
      expect(stats.cachedTokens).toBeGreaterThan(0);
      expect(stats.acceptedTokens).toBeGreaterThan(0);
      expect(stats.draftTokens).toBeGreaterThan(stats.acceptedTokens);
      expect(stats.preemptions).toBeGreaterThan(0);
    }
  });
});
