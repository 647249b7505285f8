import { describe, expect, it } from 'vitest';
import { checkStep } from './invariants.fixture.js';
import { seeded } from './random.fixture.js';
import { greedy } from './request.js';
import { type ScheduledSequence, Scheduler } from './scheduler.js';
import type { Sequence } from './sequence.js';

const request = (promptLength: number, maxTokens: number, priority = 0) => ({
  promptTokens: Array.from({ length: promptLength }, (_, i) => i),
  sampling: greedy,
  maxTokens,
  priority,
});

/** Runs a step as the engine would: what was scheduled is computed, and a finished prefix yields one token. */
function advance(
  scheduler: Scheduler,
  done: (sequence: Sequence) => void,
  { check, promptTokens }: { check?: (step: readonly ScheduledSequence[]) => void; promptTokens?: number } = {},
): readonly ScheduledSequence[] {
  const step = scheduler.schedule(promptTokens);
  check?.(step);
  for (const { sequence, count } of step) {
    const drawn = sequence.computed + count === sequence.tokens.length;
    if (drawn) sequence.tokens.push(1);
    scheduler.advance(sequence, count);
    if (!drawn) continue;
    if (sequence.outputLength >= sequence.request.maxTokens) {
      scheduler.remove(sequence);
      done(sequence);
    }
  }
  return step;
}

describe('scheduler', () => {
  it('mixes a long prompt in chunks with running streams', () => {
    const scheduler = new Scheduler(64, { maxBatchTokens: 32, maxSequences: 4, maxPrefillChunk: 16, blockSize: 16 });
    const short = scheduler.add(request(4, 100));
    advance(scheduler, () => {});
    const long = scheduler.add(request(200, 10));
    const step = scheduler.schedule();
    expect(step.map((entry) => [entry.sequence.id, entry.count])).toEqual([
      [short.id, 1],
      [long.id, 16],
    ]);
  });

  it('lets every stream draw in every step, however many prompts were begun before it', () => {
    const limits = { maxBatchTokens: 32, maxSequences: 8, maxPrefillChunk: 16, blockSize: 16, prefixCache: false };
    const scheduler = new Scheduler(256, limits);
    const long = [scheduler.add(request(400, 10)), scheduler.add(request(400, 10))];
    advance(scheduler, () => {});
    const short = scheduler.add(request(3, 30, -1));
    for (let i = 0; i < 12; i++) advance(scheduler, () => {});
    expect(short.outputLength).toBeGreaterThanOrEqual(11);
    expect(long.every(({ computed }) => computed > 0 && computed < 400)).toBe(true);
  });

  it('computes no more of prompts beside streams than it is told, and as much as fits without', () => {
    const scheduler = new Scheduler(256, { maxBatchTokens: 64, maxSequences: 8, maxPrefillChunk: 64, blockSize: 16 });
    scheduler.add(request(90, 2));
    const first = advance(scheduler, () => {}, { promptTokens: 10 });
    expect(first.map(({ count }) => count)).toEqual([64]);
    advance(scheduler, () => {}, { promptTokens: 10 });
    scheduler.add(request(40, 10));
    scheduler.add(request(40, 10));
    const mixed = advance(scheduler, () => {}, { promptTokens: 10 });
    // Two blocks of theirs are in the cache.
    expect(mixed.map(({ count }) => count)).toEqual([1, 8, 2]);
  });

  it('gives streams that had no room in a step the next one', () => {
    const scheduler = new Scheduler(64, { maxBatchTokens: 4, maxSequences: 8, maxPrefillChunk: 4, blockSize: 4 });
    const streams = Array.from({ length: 6 }, () => scheduler.add(request(1, 20)));
    for (let i = 0; i < 14; i++) advance(scheduler, () => {});
    const lengths = streams.map(({ outputLength }) => outputLength);
    expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThanOrEqual(2);
  });

  it.each([
    ['places', 1, 64],
    ['blocks', 8, 5],
  ])('makes a less important stream yield to one that waits when %s run out', (_, maxSequences, blocks) => {
    const limits = { maxBatchTokens: 64, maxSequences, maxPrefillChunk: 64, blockSize: 4, prefixCache: false };
    const scheduler = new Scheduler(blocks, limits);
    const finished: number[] = [];
    const patient = scheduler.add(request(12, 6, 1));
    advance(scheduler, () => {});
    const equal = scheduler.add(request(12, 2, 1));
    advance(scheduler, () => {});
    expect([patient.state, equal.state]).toEqual(['running', 'waiting']);
    const urgent = scheduler.add(request(12, 2, 0));
    while (finished.length < 3) advance(scheduler, (sequence) => finished.push(sequence.id));
    expect(finished).toEqual([urgent.id, patient.id, equal.id]);
    expect(patient.preemptions).toBe(1);
  });

  it('preempts the youngest when blocks run out, and it finishes later', () => {
    const scheduler = new Scheduler(4, { maxBatchTokens: 64, maxSequences: 8, maxPrefillChunk: 64, blockSize: 4 });
    const finished: number[] = [];
    const first = scheduler.add(request(6, 8));
    const second = scheduler.add(request(6, 8));
    for (let i = 0; i < 60 && finished.length < 2; i++) advance(scheduler, (sequence) => finished.push(sequence.id));
    expect(finished).toEqual([first.id, second.id]);
    expect(second.preemptions).toBeGreaterThan(0);
    expect(scheduler.pool.used).toBe(0);
  });

  it('runs a smaller priority value first', () => {
    const scheduler = new Scheduler(64, { maxBatchTokens: 64, maxSequences: 1, maxPrefillChunk: 64, blockSize: 4 });
    const finished: number[] = [];
    scheduler.add(request(2, 2, 5));
    const urgent = scheduler.add(request(2, 2, 1));
    while (finished.length < 2) advance(scheduler, (sequence) => finished.push(sequence.id));
    expect(finished[0]).toBe(urgent.id);
  });

  it.each([
    ['alike', 10, 4],
    ['different', 30, 0],
  ])('shares the blocks of sequences whose keys are %s', (_, maxTokens, cached) => {
    const limits = { maxBatchTokens: 64, maxSequences: 4, maxPrefillChunk: 64, blockSize: 4 };
    const scheduler = new Scheduler(64, limits, ({ fullLength }) => String(fullLength > 20));
    scheduler.add(request(6, 4));
    advance(scheduler, () => {});
    const second = scheduler.add(request(6, maxTokens));
    advance(scheduler, () => {});
    expect(second.cachedTokens).toBe(cached);
  });

  it('keeps its budgets and loses no block under random arrivals, aborts and preemptions', () => {
    const random = seeded(1);
    let finished = 0;
    for (let round = 0; round < 200; round++) {
      const limits = {
        maxBatchTokens: 4 + random(40),
        maxSequences: 1 + random(6),
        maxPrefillChunk: 4 + random(20),
        blockSize: 4,
      };
      const scheduler = new Scheduler(12 + random(20), { ...limits, prefixCache: round % 4 > 0 });
      const { pool } = scheduler;
      const live = new Set<Sequence>();
      let added = 0;
      for (let step = 0; step < 400 && (added < 15 || live.size > 0); step++) {
        if (added < 15 && random(3) === 0) {
          live.add(scheduler.add(request(1 + random(24), 1 + random(20), random(3))));
          added++;
        }
        if (random(20) === 0 && live.size > 0) {
          const victim = [...live][random(live.size)]!;
          scheduler.remove(victim);
          live.delete(victim);
        }
        advance(
          scheduler,
          (sequence) => {
            finished++;
            live.delete(sequence);
          },
          {
            check: (scheduled) => checkStep(scheduled, scheduler, limits),
            ...(round % 2 === 0 && { promptTokens: 1 + random(16) }),
          },
        );
      }
      expect(live.size).toBe(0);
      expect(pool.used).toBe(0);
    }
    expect(finished).toBeGreaterThan(1000);
  });
});
