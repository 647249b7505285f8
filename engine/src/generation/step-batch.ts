import type { ScheduledSequence } from './scheduler.js';
import type { Sequence } from './sequence.js';

/** What a step computes, as flat arrays: row t of the batch is one new token of one sequence. */
export interface StepBatch {
  /** [T] */
  readonly tokens: Int32Array;
  /** [T] position of each token in its sequence. */
  readonly positions: Int32Array;
  /** [B + 1] first row of each sequence. */
  readonly cuSeqlens: Int32Array;
  /** [B] cached positions of each sequence, the new ones included. */
  readonly context: Int32Array;
  /** [B] tokens that each sequence has at most when it ends. */
  readonly fullLengths: Int32Array;
  /** [T] where the keys and values of each row go: block * blockSize + offset. */
  readonly slots: Int32Array;
  /** [B, maxBlocks], row-major; unused entries are 0. */
  readonly blockTable: Int32Array;
  /** A power of two, so that steps have one shape for long. */
  readonly maxBlocks: number;
  /** At most so many positions are cached of a sequence. */
  readonly maxContext: number;
  readonly maxNewTokens: number;
  /** [T] adapter of each row, -1 for none; absent when no row has one. */
  readonly adapters?: Int32Array;
  /**
   * Rows after which a token is drawn: the last one of each sequence that has no more tokens to compute, and with it
   * those of its guesses.
   */
  readonly outputRows: Int32Array;
  /** Whose row each of `outputRows` is. */
  readonly draws: readonly Draw[];
}

/** A token that a step draws: the one after `offset` guesses of a sequence. */
export interface Draw {
  readonly sequence: Sequence;
  readonly offset: number;
}

/** Lays out a step. Blocks for the new tokens are allocated already. */
export function layOutStep(step: readonly ScheduledSequence[], blockSize: number): StepBatch {
  let rows = 0;
  let blocks = 1;
  for (const { sequence, count } of step) {
    rows += count;
    blocks = Math.max(blocks, Math.ceil((sequence.computed + count) / blockSize));
  }
  const maxBlocks = 2 ** Math.ceil(Math.log2(blocks));
  const tokens = new Int32Array(rows);
  const positions = new Int32Array(rows);
  const slots = new Int32Array(rows);
  const cuSeqlens = new Int32Array(step.length + 1);
  const context = new Int32Array(step.length);
  const fullLengths = Int32Array.from(step, ({ sequence }) => sequence.fullLength);
  const blockTable = new Int32Array(step.length * maxBlocks);
  const outputRows: number[] = [];
  const draws: Draw[] = [];
  let adapters: Int32Array | undefined;
  let maxNewTokens = 0;
  let row = 0;
  step.forEach(({ sequence, count }, index) => {
    const end = sequence.computed + count;
    for (let position = sequence.computed; position < end; position++, row++) {
      tokens[row] = sequence.tokenAt(position);
      positions[row] = position;
      slots[row] = sequence.blocks[Math.floor(position / blockSize)]! * blockSize + (position % blockSize);
      const offset = position - (sequence.tokens.length - 1);
      if (offset < 0) continue;
      outputRows.push(row);
      draws.push({ sequence, offset });
    }
    cuSeqlens[index + 1] = row;
    context[index] = end;
    maxNewTokens = Math.max(maxNewTokens, count);
    const used = Math.ceil(end / blockSize);
    for (let i = 0; i < used; i++) blockTable[index * maxBlocks + i] = sequence.blocks[i]!;
    const { adapter } = sequence.request;
    if (adapter) {
      adapters ??= new Int32Array(rows).fill(-1);
      adapters.fill(adapter.slot, cuSeqlens[index]!, row);
    }
  });
  return {
    tokens,
    positions,
    cuSeqlens,
    context,
    fullLengths,
    slots,
    blockTable,
    maxBlocks,
    maxContext: maxBlocks * blockSize,
    maxNewTokens,
    ...(adapters && { adapters }),
    outputRows: Int32Array.from(outputRows),
    draws,
  };
}
