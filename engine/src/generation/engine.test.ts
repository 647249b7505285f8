import { describe, expect, it } from 'vitest';
import { GenerationEngine, type TextDecoder } from './engine.js';
import type { StepExecutor, StepResult } from './executor.js';
import { seeded } from './random.fixture.js';
import { type GenerateEvent, type GenerateRequest, greedy } from './request.js';
import type { SamplingRows } from './sampling-rows.js';
import type { StepBatch } from './step-batch.js';

const VOCABULARY = 97;
const EOS = 96;

/**
 * A model whose next token depends on every token of its sequence through the "cache": it writes each token where the
 * batch says, and reads the whole sequence back through the block table. A wrong slot, table or length changes the text.
 */
class FakeModel implements StepExecutor {
  readonly vocabSize = VOCABULARY;
  readonly cache: Int32Array;
  steps = 0;
  largestBatch = 0;
  failAt = -1;

  constructor(
    readonly blockCount: number,
    readonly blockSize: number,
  ) {
    this.cache = new Int32Array(blockCount * blockSize).fill(-1);
  }

  async execute(batch: StepBatch, sampling: SamplingRows): Promise<StepResult> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (this.steps++ === this.failAt)
      throw Object.assign(new Error('the device failed'), { code: 'LF_BACKEND_DEVICE' });
    this.largestBatch = Math.max(this.largestBatch, batch.tokens.length);
    batch.tokens.forEach((token, row) => {
      this.cache[batch.slots[row]!] = token;
    });
    const tokens = new Int32Array(batch.outputRows.length);
    let out = 0;
    for (let sequence = 0; sequence < batch.context.length; sequence++) {
      const last = batch.cuSeqlens[sequence + 1]! - 1;
      if (!batch.outputRows.includes(last)) continue;
      const context: number[] = [];
      for (let position = 0; position < batch.context[sequence]!; position++) {
        const block = batch.blockTable[sequence * batch.maxBlocks + Math.floor(position / this.blockSize)]!;
        context.push(this.cache[block * this.blockSize + (position % this.blockSize)]!);
      }
      tokens[out++] = nextToken(context);
    }
    const top = sampling.topLogprobs ?? 0;
    return {
      tokens,
      logprobs: Float32Array.from(tokens, (token) => -token / 100),
      top,
      topTokens: Int32Array.from({ length: tokens.length * top }, (_, i) => i % top),
      topLogprobs: new Float32Array(tokens.length * top),
    };
  }

  close(): void {}
}

/** Any function of all tokens will do; it must not be the same everywhere. */
function nextToken(context: readonly number[]): number {
  let hash = 17;
  for (const token of context) hash = (hash * 31 + token * 7 + 3) % 1000003;
  return hash % (VOCABULARY - 1);
}

function expectedTokens(prompt: number[], count: number): number[] {
  const tokens = [...prompt];
  for (let i = 0; i < count; i++) tokens.push(nextToken(tokens));
  return tokens.slice(prompt.length);
}

const decoder = (): TextDecoder => ({ push: (token) => `<${token}>`, flush: () => '' });

function makeEngine(model: FakeModel, limits = {}): GenerationEngine {
  return new GenerationEngine({ executor: model, contextLength: 256, eosTokenIds: [EOS], decoder, limits });
}

const request = (prompt: number[], maxTokens: number, extra: Partial<GenerateRequest> = {}): GenerateRequest => ({
  promptTokens: prompt,
  sampling: greedy,
  maxTokens,
  ...extra,
});

async function collect(stream: AsyncIterable<GenerateEvent>) {
  const tokens: number[] = [];
  let text = '';
  let done: Extract<GenerateEvent, { type: 'done' }> | undefined;
  for await (const event of stream) {
    if (event.type === 'done') done = event;
    else {
      tokens.push(...event.tokens);
      text += event.text;
    }
  }
  return { tokens, text, done: done! };
}

describe('generation engine', () => {
  it('gives every stream what it gets alone, whatever runs beside it and however often it is preempted', async () => {
    const random = seeded(3);
    const model = new FakeModel(14, 4);
    const engine = makeEngine(model, { maxBatchTokens: 16, maxSequences: 5, maxPrefillChunk: 6 });
    const runs = Array.from({ length: 40 }, async (_, i) => {
      await new Promise((resolve) => setTimeout(resolve, random(40)));
      const prompt = Array.from({ length: 1 + random(30) }, () => random(VOCABULARY - 1));
      const count = 1 + random(20);
      const result = await collect(engine.generate(request(prompt, count, { priority: i % 3 })));
      expect(result.tokens).toEqual(expectedTokens(prompt, count));
      expect(result.done).toEqual({
        type: 'done',
        finishReason: 'length',
        usage: { promptTokens: prompt.length, completionTokens: count, cachedTokens: 0 },
      });
    });
    await Promise.all(runs);
    expect(engine.stats().preemptions).toBeGreaterThan(0);
    expect(engine.stats().cacheBlocksUsed).toBe(0);
    expect(model.largestBatch).toBeLessThanOrEqual(16);
    await engine.close();
  });

  it('ends at a stop string and at an end token, and emits neither', async () => {
    const engine = makeEngine(new FakeModel(64, 4));
    const prompt = [5, 6];
    const expected = expectedTokens(prompt, 6);
    const stop = `<${expected[3]}>`;
    const stopped = await collect(engine.generate(request(prompt, 20, { stop: [stop] })));
    expect(stopped.text).toBe(
      expected
        .slice(0, 3)
        .map((token) => `<${token}>`)
        .join(''),
    );
    expect(stopped.done).toMatchObject({ finishReason: 'stop', stop, usage: { completionTokens: 4 } });
    const ended = await collect(engine.generate(request(prompt, 20, { stopTokenIds: [expected[2]!] })));
    expect(ended.tokens).toEqual(expected.slice(0, 2));
    expect(ended.done).toMatchObject({ finishReason: 'stop', usage: { completionTokens: 3 } });
    await engine.close();
  });

  it('frees the blocks of a stream that its reader leaves, and of one that is aborted while it waits', async () => {
    const engine = makeEngine(new FakeModel(8, 4), { maxSequences: 1 });
    const first = engine.generate(request([1, 2, 3], 20));
    const controller = new AbortController();
    const second = collect(engine.generate(request([4], 5, { signal: controller.signal })));
    let seen = 0;
    for await (const event of first) {
      if (event.type === 'token' && ++seen === 3) {
        controller.abort(new Error('hung up'));
        break;
      }
    }
    await expect(second).rejects.toThrow('hung up');
    expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, cacheBlocksUsed: 0 });
    await engine.close();
  });

  it('fails the streams of a failing step and serves the next ones', async () => {
    const model = new FakeModel(64, 4);
    model.failAt = 2;
    const engine = makeEngine(model);
    await expect(collect(engine.generate(request([1, 2], 10)))).rejects.toMatchObject({ code: 'LF_BACKEND_DEVICE' });
    const prompt = [9, 9];
    expect((await collect(engine.generate(request(prompt, 4)))).tokens).toEqual(expectedTokens(prompt, 4));
    expect(engine.stats().cacheBlocksUsed).toBe(0);
    await engine.close();
  });

  it('refuses what cannot be served, before anything runs', async () => {
    const engine = makeEngine(new FakeModel(8, 4));
    expect(() => engine.generate(request([], 5))).toThrow(/prompt is empty/);
    expect(() => engine.generate(request([1], 0))).toThrow(/positive integer/);
    expect(() => engine.generate(request([1, 400], 5))).toThrow(/promptTokens\[1\]: 400/);
    expect(() => engine.generate(request([1, 2], 31))).toThrow(/maximum context length is 32 tokens/);
    await engine.close();
    expect(() => engine.generate(request([1], 5))).toThrow(/closed/);
  });

  it('ends open streams with an error when it is closed', async () => {
    const engine = makeEngine(new FakeModel(64, 4));
    const stream = engine.generate(request([1, 2], 200))[Symbol.asyncIterator]();
    await stream.next();
    const closing = engine.close();
    const open = (async () => {
      while (!(await stream.next()).done);
    })();
    await expect(open).rejects.toMatchObject({ code: 'LF_ENGINE_CLOSED' });
    await closing;
  });

  it('gives as many log probabilities as each stream asked for', async () => {
    const engine = makeEngine(new FakeModel(64, 4));
    const wanted = collect(engine.generate(request([1], 3)));
    const events: GenerateEvent[] = [];
    for await (const event of engine.generate(request([2], 3, { logprobs: 2 }))) events.push(event);
    const first = events[0] as Extract<GenerateEvent, { type: 'token' }>;
    expect(first.logprobs).toHaveLength(1);
    expect(first.logprobs![0]!.top).toHaveLength(2);
    await wanted;
    await engine.close();
  });
});
