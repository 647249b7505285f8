import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { goldenFiles } from '../models/golden.fixture.js';
import { asCausal, loadModelFiles } from '../models/load.js';
import { attachLora, setAdapterEnabled } from '../models/lora/attach.js';
import type { CausalLanguageModel } from '../models/model.js';
import { Tensor } from '../tensor/tensor.js';
import { hear, tinyEngine } from './company.fixture.js';
import { type GenerateRequest, greedy } from './request.js';

/** One that keeps steps, and one that records each anew, as devices do that keep call sites. */
let keeping: Device;
let recording: Device;
beforeAll(() => {
  keeping = cpuDevice({ threads: 2, debug: false });
  recording = cpuDevice({ threads: 2, debug: true });
});
afterAll(() => {
  keeping.close();
  recording.close();
});

const load = (device: Device, name: string, weights = name): CausalLanguageModel =>
  asCausal(loadModelFiles(device, goldenFiles(name, { weights }), { dtype: 'bf16' }));

const request = (length: number, options: Partial<GenerateRequest> = {}): GenerateRequest => ({
  promptTokens: Array.from({ length }, (_, i) => (7 * i + length) % 60),
  maxTokens: 20,
  logprobs: 2,
  sampling: greedy,
  ...options,
});

/** What `hearing` hears of an engine over the same model on either device. */
async function onBoth<T>(
  [name, weights]: readonly [name: string, weights?: string],
  hearing: (model: CausalLanguageModel, engine: ReturnType<typeof tinyEngine>) => Promise<T>,
): Promise<T> {
  const found: T[] = [];
  for (const device of [keeping, recording]) {
    using model = load(device, name, weights);
    const engine = tinyEngine(model, {}, { batchInvariant: false });
    found.push(await hearing(model, engine));
    await engine.close();
  }
  expect(found[0]).toEqual(found[1]);
  return found[0]!;
}

describe.each([['llama'], ['gemma2'], ['qwen2-moe'], ['gpt2'], ['rotation-longrope', 'llama-tied']] as const)(
  'steps of %s',
  (...name) => {
    it('give the same when they are repeated and when they are recorded anew', async () => {
      await onBoth(name, async (_, engine) => {
        const texts = [];
        for (const count of [1, 1, 3]) {
          const requests = Array.from({ length: count }, (_, i) => request(5 + 3 * i, { maxTokens: 8 + 2 * i }));
          texts.push(await Promise.all(requests.map((each) => hear(engine, each))));
        }
        return texts;
      });
    });
  },
);

it('a stream of tokens takes no memory and records nothing from its second token of a shape on', async () => {
  using model = load(keeping, 'llama');
  const engine = tinyEngine(model, {});
  // The second time the prompt is in the cache.
  for (let i = 0; i < 2; i++) await hear(engine, request(5));
  const { allocations } = keeping.stats();
  await hear(engine, request(5, { maxTokens: 20, sampling: { ...greedy, temperature: 1, seed: 3 } }));
  expect(keeping.stats().allocations).toBe(allocations);
  await engine.close();
});

it('an adapter that is switched off and on is left out and takes part', async () => {
  const texts = await onBoth(['llama'], async (model, engine) => {
    attachLora(model, { r: 4 });
    for (const { adapter } of model.linears.values()) {
      if (!adapter) continue;
      const values = Float32Array.from({ length: adapter.b.elements }, (_, i) => ((i % 7) - 3) / 10);
      using b = Tensor.from(model.device, values, adapter.b.shape);
      adapter.b.assign(b);
    }
    const heard = [];
    for (const on of [true, false, true]) {
      setAdapterEnabled(model, on);
      heard.push(await hear(engine, request(9)));
    }
    return heard;
  });
  expect(texts[2]).toEqual(texts[0]);
  expect(texts[1]!.tokens).not.toEqual(texts[0]!.tokens);
});

it('whoever looks at the input of a layer sees that of every step', async () => {
  using model = load(keeping, 'llama');
  const engine = tinyEngine(model, {});
  await hear(engine, request(5));
  const [layer] = model.linears.values();
  let seen = 0;
  layer!.observer = () => seen++;
  await hear(engine, request(5));
  layer!.observer = undefined;
  expect(seen).toBe(20);
  await engine.close();
});
