import type { Device } from '../device/device.js';
import { Tensor } from '../tensor/tensor.js';

/** Sequences laid end to end; attention and positions stay inside each of them. */
export interface PackedBatch {
  /** [T] */
  readonly tokens: Int32Array;
  /** [T] position of each token in its sequence. */
  readonly positions: Int32Array;
  /** [B + 1]: sequence b is rows cuSeqlens[b]..cuSeqlens[b + 1]. */
  readonly cuSeqlens: Int32Array;
  readonly maxSeqlen: number;
}

/** New tokens of several sequences whose earlier keys and values lie in a cache: prefill and decode alike. */
export interface PagedBatch {
  /** [T] */
  readonly tokens: Int32Array;
  /** [T] */
  readonly positions: Int32Array;
  /** [B + 1] first row of each sequence. */
  readonly cuSeqlens: Int32Array;
  /** [B] cached positions of each sequence, the new ones included. */
  readonly context: Int32Array;
  /**
   * [B] positions that each sequence may come to have. Rotations that depend on the length are those of it, from the first
   * position on, so that keys in the cache stay right; `context` unless given.
   */
  readonly fullLengths?: Int32Array;
  /** [T] where keys and values of each row go: block * blockSize + offset; -1 keeps nothing. */
  readonly slots: Int32Array;
  /** [B, maxBlocks] */
  readonly blockTable: Int32Array;
  readonly maxBlocks: number;
  /** Rows whose final hidden state is wanted. */
  readonly outputRows: Int32Array;
  /** [T] adapter of each row by its index among the model's served adapters; -1 is the base model. */
  readonly adapters?: Int32Array;
  /** One arithmetic for prompts and single tokens: results do not depend on how tokens are spread over calls. */
  readonly invariant?: boolean;
  readonly maxNewTokens?: number;
  readonly maxContext?: number;
}

/** Packs sequences of tokens, positions counting from 0 in each. */
export function packSequences(sequences: readonly (readonly number[] | Int32Array)[]): PackedBatch {
  const total = sequences.reduce((sum, sequence) => sum + sequence.length, 0);
  const tokens = new Int32Array(total);
  const positions = new Int32Array(total);
  const cuSeqlens = new Int32Array(sequences.length + 1);
  let row = 0;
  let maxSeqlen = 0;
  sequences.forEach((sequence, index) => {
    for (let i = 0; i < sequence.length; i++, row++) {
      tokens[row] = sequence[i]!;
      positions[row] = i;
    }
    cuSeqlens[index + 1] = row;
    maxSeqlen = Math.max(maxSeqlen, sequence.length);
  });
  return { tokens, positions, cuSeqlens, maxSeqlen };
}

/** The largest value of an array of counts or positions; 0 when empty. */
export function largest(values: Int32Array): number {
  let most = 0;
  for (const value of values) if (value > most) most = value;
  return most;
}

/** The longest run cu[b]..cu[b + 1]. */
export function longestRun(cu: Int32Array): number {
  let most = 0;
  for (let b = 0; b + 1 < cu.length; b++) most = Math.max(most, cu[b + 1]! - cu[b]!);
  return most;
}

/** An index array on the device. */
export function upload(device: Device, values: Int32Array, shape: readonly number[] = [values.length]): Tensor {
  return Tensor.from(device, values, shape, 'i32');
}
