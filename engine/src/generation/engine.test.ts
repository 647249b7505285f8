import { describe, expect, it } from 'vitest';
import { GenerationEngine, type TextDecoder } from './engine.js';
import type { StepExecutor, StepResult } from './executor.js';
import { seeded } from './random.fixture.js';
import { type GenerateEvent, type GenerateRequest, greedy } from './request.js';
import type { SamplingRows } from './sampling-rows.js';
import type { DraftProposer } from './speculation.js';
import { PromptLookup } from './speculation.js';
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
    const tokens = Int32Array.from(batch.outputRows, (row, out) => {
      const sequence = batch.cuSeqlens.findLastIndex((first) => first <= row);
      const context: number[] = [];
      for (let position = 0; position <= batch.positions[row]!; position++) {
        const block = batch.blockTable[sequence * batch.maxBlocks + Math.floor(position / this.blockSize)]!;
        context.push(this.cache[block * this.blockSize + (position % this.blockSize)]!);
      }
      return this.allowed(nextToken(context, batch.adapters?.[row]), sampling.mask, out);
    });
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

  /** The first token from this one on that the row's mask allows. */
  private allowed(token: number, mask: Uint32Array | undefined, row: number): number {
    const words = Math.ceil(VOCABULARY / 32);
    for (let t = token; mask; t = (t + 1) % VOCABULARY) {
      if ((mask[row * words + (t >> 5)]! >>> (t & 31)) & 1) return t;
    }
    return token;
  }
}

/** Any function of all tokens will do; it must not be the same everywhere. */
function nextToken(context: readonly number[], adapter = -1): number {
  let hash = 18 + adapter;
  for (const token of context) hash = (hash * 31 + token * 7 + 3) % 1000003;
  return hash % (VOCABULARY - 1);
}

function expectedTokens(prompt: number[], count: number, adapter?: number): number[] {
  const tokens = [...prompt];
  for (let i = 0; i < count; i++) tokens.push(nextToken(tokens, adapter));
  return tokens.slice(prompt.length);
}

const decoder = (): TextDecoder => ({ push: (token) => `<${token}>`, flush: () => '' });

function makeEngine(model: FakeModel, limits = {}, proposer?: DraftProposer): GenerationEngine {
  return new GenerationEngine({ executor: model, contextLength: 256, eosTokenIds: [EOS], decoder, limits, proposer });
}

/** Lets the event loop, and with it the fake model, turn some times. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Guesses right and wrong, by chance. */
function gambler(random: (n: number) => number): DraftProposer {
  return {
    propose: async (sequences, limit) =>
      sequences.map((sequence) => {
        const draft: number[] = [];
        while (draft.length < Math.min(4, limit(sequence))) {
          const right = nextToken([...sequence.tokens, ...draft], sequence.request.adapter?.slot);
          draft.push(random(4) === 0 ? (right + 1) % EOS : right);
        }
        return draft;
      }),
  };
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
    const limits = { maxBatchTokens: 16, maxSequences: 5, maxPrefillChunk: 6, maxSpeculating: 5 };
    const engine = makeEngine(model, limits, gambler(random));
    const common = Array.from({ length: 24 }, () => random(VOCABULARY - 1));
    const cached: number[] = [];
    const runs = Array.from({ length: 60 }, async (_, i) => {
      await turns(random(60));
      const own = Array.from({ length: 1 + random(12) }, () => random(VOCABULARY - 1));
      const prompt = [...common.slice(0, random(20)), ...own];
      const count = 1 + random(20);
      const adapter = i % 4 === 0 ? { slot: 3, serial: 9 } : undefined;
      const cancelled = i % 7 === 0 ? new AbortController() : undefined;
      if (cancelled) void turns(random(30)).then(() => cancelled.abort(new Error('hung up')));
      const stream = engine.generate(request(prompt, count, { priority: i % 3, adapter, signal: cancelled?.signal }));
      const result = await collect(stream).catch((error) => {
        expect(cancelled?.signal.aborted, String(error)).toBe(true);
      });
      if (!result) return;
      expect(result.tokens).toEqual(expectedTokens(prompt, count, adapter?.slot));
      expect(result.done).toEqual({
        type: 'done',
        finishReason: 'length',
        usage: { promptTokens: prompt.length, completionTokens: count, cachedTokens: expect.any(Number) },
      });
      cached.push(result.done.usage.cachedTokens);
    });
    await Promise.all(runs);
    const stats = engine.stats();
    expect(stats.preemptions).toBeGreaterThan(0);
    expect(stats.cachedTokens).toBe(cached.reduce((sum, n) => sum + n, 0));
    expect(stats.cachedTokens).toBeGreaterThan(0);
    expect(stats.acceptedTokens).toBeGreaterThan(0);
    expect(stats.draftTokens).toBeGreaterThan(stats.acceptedTokens);
    expect(stats.cacheBlocksUsed).toBe(0);
    expect(model.largestBatch).toBeLessThanOrEqual(16);
    await engine.close();
  });

  it('computes a shared beginning once, also when the requests arrive together', async () => {
    const model = new FakeModel(64, 4);
    const engine = makeEngine(model);
    const prompt = Array.from({ length: 41 }, (_, i) => i);
    const results = await Promise.all(
      Array.from({ length: 5 }, (_, i) => collect(engine.generate(request([...prompt, 50 + i], 3)))),
    );
    // 41 tokens are ten full blocks: the first request computes them.
    expect(results.map(({ done }) => done.usage.cachedTokens)).toEqual([0, 40, 40, 40, 40]);
    const again = await collect(engine.generate(request(prompt.slice(0, 40), 3)));
    // The last token is always computed, so of ten blocks nine are taken.
    expect(again.done.usage.cachedTokens).toBe(36);
    expect(again.tokens).toEqual(expectedTokens(prompt.slice(0, 40), 3));
    await engine.close();
  });

  it('finds no prefix of another adapter, of another salt, or when told not to', async () => {
    const engine = makeEngine(new FakeModel(64, 4));
    const prompt = Array.from({ length: 21 }, (_, i) => i);
    const cachedFor = async (extra: Partial<GenerateRequest>) =>
      (await collect(engine.generate(request(prompt, 1, extra)))).done.usage.cachedTokens;
    expect(await cachedFor({})).toBe(0);
    expect(await cachedFor({})).toBe(20);
    expect(await cachedFor({ adapter: { slot: 0, serial: 1 } })).toBe(0);
    expect(await cachedFor({ adapter: { slot: 0, serial: 2 } })).toBe(0);
    expect(await cachedFor({ cacheSalt: 'tenant' })).toBe(0);
    expect(await cachedFor({ cacheSalt: 'tenant' })).toBe(20);
    await engine.close();
    const without = makeEngine(new FakeModel(64, 4), { prefixCache: false });
    await collect(without.generate(request(prompt, 1)));
    expect((await collect(without.generate(request(prompt, 1)))).done.usage.cachedTokens).toBe(0);
    await without.close();
  });

  it('goes on from the output of an earlier turn', async () => {
    const engine = makeEngine(new FakeModel(64, 4));
    const first = await collect(engine.generate(request([1, 2, 3], 14)));
    const turn = [1, 2, 3, ...first.tokens, 7];
    const second = await collect(engine.generate(request(turn, 4)));
    expect(second.tokens).toEqual(expectedTokens(turn, 4));
    expect(second.done.usage.cachedTokens).toBe(16);
    await engine.close();
  });

  it('takes fewer steps when guesses are right, and gives the same tokens', async () => {
    const repeating = [11, 12, 13, 14, 15, 16, 17];
    // The text repeats its prompt: what follows a token is always the same.
    class Repeating extends FakeModel {
      override async execute(batch: StepBatch, sampling: SamplingRows): Promise<StepResult> {
        const result = await super.execute(batch, sampling);
        batch.outputRows.forEach((row, i) => {
          const at = repeating.indexOf(batch.tokens[row]!);
          result.tokens[i] = repeating[(at + 1) % repeating.length]!;
        });
        return result;
      }
    }
    const plain = makeEngine(new Repeating(64, 4));
    const guessing = makeEngine(new Repeating(64, 4), {}, new PromptLookup({ tokens: 4 }));
    const prompt = [...repeating, ...repeating];
    const expected = await collect(plain.generate(request(prompt, 40)));
    const guessed = await collect(guessing.generate(request(prompt, 40)));
    expect(guessed).toEqual(expected);
    expect(guessing.stats().steps).toBeLessThan(plain.stats().steps / 3);
    expect(guessing.stats().acceptedTokens).toBe(guessing.stats().draftTokens);
    await Promise.all([plain.close(), guessing.close()]);
  });

  it('draws only what a constraint allows, waits for its answer while others run on, and ends when it says so', async () => {
    const engine = makeEngine(new FakeModel(64, 4));
    const words = Math.ceil(VOCABULARY / 32);
    const wanted = [40, 3, 77, 64];
    const taken: number[] = [];
    let disposed = 0;
    const release: (() => void)[] = [];
    const constrained = collect(
      engine.generate(
        request([1, 2, 3, 4, 5], 50, {
          constraint: {
            next: async () => {
              await new Promise<void>((resolve) => release.push(resolve));
              const mask = new Uint32Array(words);
              const token = wanted[taken.length]!;
              mask[token >> 5] = 1 << (token & 31);
              return mask;
            },
            accept: (token) => {
              taken.push(token);
              return taken.length === wanted.length;
            },
            dispose: () => {
              disposed++;
            },
          },
        }),
      ),
    );
    const free = await collect(engine.generate(request([9], 20)));
    expect(free.tokens).toEqual(expectedTokens([9], 20));
    expect(taken).toEqual([]);
    const timer = setInterval(() => release.shift()?.(), 1);
    expect((await constrained).tokens).toEqual(wanted);
    expect((await constrained).done.finishReason).toBe('stop');
    clearInterval(timer);
    expect(disposed).toBe(1);
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

  it('does a step that does not fit in memory in smaller ones, and goes back to large ones later', async () => {
    class Short extends FakeModel {
      room = 8;
      override async execute(batch: StepBatch, sampling: SamplingRows): Promise<StepResult> {
        if (batch.tokens.length > this.room) {
          throw Object.assign(new Error('no memory'), { code: 'LF_ENGINE_OUT_OF_MEMORY' });
        }
        return super.execute(batch, sampling);
      }
    }
    const model = new Short(64, 4);
    const engine = makeEngine(model);
    const prompts = Array.from({ length: 4 }, (_, i) => Array.from({ length: 20 }, (_, j) => (7 * i + j) % EOS));
    const results = await Promise.all(prompts.map((prompt) => collect(engine.generate(request(prompt, 30)))));
    results.forEach(({ tokens }, i) => {
      expect(tokens).toEqual(expectedTokens(prompts[i]!, 30));
    });
    expect(engine.stats().splitSteps).toBeGreaterThan(2);
    expect(engine.stats().failure).toBeUndefined();
    model.room = 1000;
    await collect(engine.generate(request([1, 2], 250)));
    await collect(engine.generate(request(prompts[0]!.toReversed(), 1)));
    expect(model.largestBatch).toBe(20);
    model.room = 0;
    await expect(collect(engine.generate(request([1], 1)))).rejects.toMatchObject({ code: 'LF_ENGINE_OUT_OF_MEMORY' });
    expect(engine.stats()).toMatchObject({ cacheBlocksUsed: 0, failure: 'no memory' });
    model.room = 8;
    await collect(engine.generate(request([1], 1)));
    expect(engine.stats().failure).toBeUndefined();
    await engine.close();
  });

  it('lets others have the event loop while it hands a step to many readers', async () => {
    const model = new FakeModel(600, 4);
    const engine = makeEngine(model, { maxSequences: 300, maxBatchTokens: 400 });
    let longest = 0;
    let woken = 0;
    let before = 0;
    const reader = async (i: number) => {
      for await (const event of engine.generate(request([i % EOS], 3))) {
        if (event.type === 'token') woken++;
      }
    };
    const watch = () => {
      longest = Math.max(longest, woken - before);
      before = woken;
      if (woken < 900) setImmediate(watch);
    };
    watch();
    await Promise.all(Array.from({ length: 300 }, (_, i) => reader(i)));
    expect(woken).toBe(900);
    expect(longest).toBeLessThan(100);
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

  it('fails the streams whose guesses fail, and serves the others', async () => {
    const engine = makeEngine(
      new FakeModel(64, 4),
      {},
      {
        propose: async (sequences) => {
          if (sequences.some(({ promptLength }) => promptLength === 3)) throw new Error('the draft model failed');
          return sequences.map(() => []);
        },
      },
    );
    await expect(collect(engine.generate(request([1, 2, 3], 10)))).rejects.toThrow('the draft model failed');
    expect((await collect(engine.generate(request([1, 2], 4)))).tokens).toEqual(expectedTokens([1, 2], 4));
    await engine.close();
  });

  it('says when the last request of an adapter has ended', async () => {
    const engine = makeEngine(new FakeModel(64, 4));
    const adapter = { slot: 0, serial: 4 };
    let running = 2;
    for (const count of [5, 20]) {
      void collect(engine.generate(request([1, 2], count, { adapter }))).then(() => running--);
    }
    const other = collect(engine.generate(request([1, 2], 100))).catch((error) => error.code);
    await engine.drained(adapter);
    await turns(1);
    expect(running).toBe(0);
    expect(engine.stats().running).toBe(1);
    await engine.drained({ slot: 0, serial: 5 });
    await engine.close();
    expect(await other).toBe('LF_ENGINE_CLOSED');
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
