import { expect } from 'vitest';
import type { ScheduledSequence, Scheduler } from './scheduler.js';
import type { Sequence } from './sequence.js';

/** What a scheduler promises of every step. */
export interface StepBounds {
  readonly maxBatchTokens: number;
  readonly maxSequences: number;
  readonly blockSize: number;
}

/** Whether two sequences have the same keys and values in a block: same adapter, salt and tokens up to its end. */
function sameContent(a: Sequence, b: Sequence, end: number): boolean {
  if (a.request.adapter?.serial !== b.request.adapter?.serial || a.request.cacheSalt !== b.request.cacheSalt)
    return false;
  for (let i = 0; i < end; i++) if (a.tokens[i] !== b.tokens[i]) return false;
  return true;
}

/**
 * Asserts what must hold when a step is about to run: no block is leaked, none is shared by accident, none that is shared is
 * written to, and budgets are kept.
 */
export function checkStep(step: readonly ScheduledSequence[], scheduler: Scheduler, bounds: StepBounds): void {
  const { maxBatchTokens, maxSequences, blockSize } = bounds;
  const { pool } = scheduler;
  const holders = new Map<number, { sequence: Sequence; index: number }[]>();
  for (const sequence of scheduler.holders) {
    sequence.blocks.forEach((block, index) => {
      holders.set(block, [...(holders.get(block) ?? []), { sequence, index }]);
    });
  }
  const counts = new Map(step.map(({ sequence, count }) => [sequence, count]));
  if (counts.size !== step.length) expect.fail('a sequence is scheduled twice');
  if (scheduler.runningCount > maxSequences) expect.fail(`${scheduler.runningCount} sequences run`);
  let tokens = 0;
  for (const { sequence, count } of step) {
    tokens += count;
    if (sequence.state !== 'running' || sequence.blocked) expect.fail(`sequence ${sequence.id} must not run`);
    if (count < 1 || count > sequence.pending) expect.fail(`${count} tokens of ${sequence.pending}`);
    if (sequence.blocks.length * blockSize < sequence.computed + count) expect.fail('too few blocks for the step');
    const written = Math.floor(sequence.computed / blockSize);
    for (const block of sequence.blocks.slice(written)) {
      if (pool.referenceCount(block) !== 1) expect.fail(`block ${block} is shared, and written by ${sequence.id}`);
    }
  }
  if (tokens > maxBatchTokens) expect.fail(`${tokens} tokens in a step of ${maxBatchTokens}`);
  if (pool.used !== holders.size) expect.fail(`${pool.used} blocks are in use, and ${holders.size} have a holder`);
  for (const [block, users] of holders) {
    if (pool.referenceCount(block) !== users.length) expect.fail(`block ${block} is counted wrongly`);
    const [first, ...others] = users;
    for (const { sequence, index } of others) {
      const alike = index === first!.index && sameContent(first!.sequence, sequence, (index + 1) * blockSize);
      if (!alike) expect.fail(`block ${block} is shared by accident`);
    }
  }
}
