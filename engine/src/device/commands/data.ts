import {
  Binary,
  type BinaryKind,
  Op,
  Random,
  type RandomKind,
  Reduce,
  type ReduceKind,
  Unary,
  type UnaryKind,
} from '../opcodes.js';
import { type CommandRecorder, MAX_INLINE_BYTES, type Operand } from '../recorder.js';

/** dst = the bytes of `data`, at most 64 KiB. */
export function write(r: CommandRecorder, data: Uint8Array, dst: Operand): void {
  if (data.length > MAX_INLINE_BYTES) throw new RangeError(`${data.length} bytes exceed a WRITE's ${MAX_INLINE_BYTES}`);
  const p = r.begin(Op.WRITE, 1 + Math.ceil(data.length / 4), 1);
  r.words[p] = data.length;
  r.inline(data, p + 1);
  r.operand(dst);
}

export function fill(r: CommandRecorder, value: number, dst: Operand): void {
  const p = r.begin(Op.FILL, 1, 1);
  r.floats[p] = value;
  r.operand(dst);
}

/** dst = src, element by element, with conversion of types; a block format is dequantised. */
export function copy(r: CommandRecorder, src: Operand, dst: Operand): void {
  r.begin(Op.COPY, 0, 2);
  r.operand(src);
  r.operand(dst);
}

/** out = kind(alpha * a, beta * b). */
export function binary(
  r: CommandRecorder,
  kind: BinaryKind,
  a: Operand,
  b: Operand,
  out: Operand,
  alpha = 1,
  beta = 1,
): void {
  const p = r.begin(Op.BINARY, 3, 3);
  r.words[p] = Binary[kind];
  r.floats[p + 1] = alpha;
  r.floats[p + 2] = beta;
  r.operand(a);
  r.operand(b);
  r.operand(out);
}

export function unary(r: CommandRecorder, kind: UnaryKind, x: Operand, out: Operand): void {
  const p = r.begin(Op.UNARY, 1, 2);
  r.words[p] = Unary[kind];
  r.operand(x);
  r.operand(out);
}

/** dx = dy * kind'(x). */
export function unaryBackward(r: CommandRecorder, kind: UnaryKind, x: Operand, dy: Operand, dx: Operand): void {
  const p = r.begin(Op.UNARY_BACKWARD, 1, 3);
  r.words[p] = Unary[kind];
  r.operand(x);
  r.operand(dy);
  r.operand(dx);
}

/** Reduces the last dimension, or everything when `out` has one element. `accumulate` adds to `out`. */
export function reduce(r: CommandRecorder, kind: ReduceKind, x: Operand, out: Operand, accumulate = false): void {
  const p = r.begin(Op.REDUCE, 2, 2);
  r.words[p] = Reduce[kind];
  r.words[p + 1] = accumulate ? 1 : 0;
  r.operand(x);
  r.operand(out);
}

/** The place of random numbers in Philox's space: a 64-bit key in two words, and a stream. */
export interface RandomKey {
  readonly seedLow: number;
  readonly seedHigh: number;
  readonly stream: number;
}

/** Uniform in [a, b), or normal with mean a and deviation b. */
export function random(
  r: CommandRecorder,
  kind: RandomKind,
  a: number,
  b: number,
  key: RandomKey,
  out: Operand,
  accumulate = false,
): void {
  const p = r.begin(Op.RANDOM, 7, 1);
  r.words[p] = Random[kind];
  r.floats[p + 1] = a;
  r.floats[p + 2] = b;
  r.words[p + 3] = key.seedLow;
  r.words[p + 4] = key.seedHigh;
  r.words[p + 5] = key.stream;
  r.words[p + 6] = accumulate ? 1 : 0;
  r.operand(out);
}

/** out = x * keep / (1 - probability); the same command with the same key applied to a gradient is the backward pass. */
export function dropout(r: CommandRecorder, probability: number, key: RandomKey, x: Operand, out: Operand): void {
  const p = r.begin(Op.DROPOUT, 4, 2);
  r.floats[p] = probability;
  r.words[p + 1] = key.seedLow;
  r.words[p + 2] = key.seedHigh;
  r.words[p + 3] = key.stream;
  r.operand(x);
  r.operand(out);
}

/** Softmax of each row of x [R, C]. */
export function softmax(r: CommandRecorder, x: Operand, out: Operand): void {
  r.begin(Op.SOFTMAX, 0, 2);
  r.operand(x);
  r.operand(out);
}
