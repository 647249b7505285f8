import { ranked } from '@largeforge/optimize';

/** N of every M weights along the inputs are 0, as the sparse units of GPUs take them (2:4). */
export interface Pattern {
  readonly zeros: number;
  readonly of: number;
}

/** "2:4" */
export function parsePattern(text: string): Pattern | undefined {
  const [, zeros, of] = /^(\d+):(\d+)$/.exec(text) ?? [];
  const pattern = { zeros: Number(zeros), of: Number(of) };
  return pattern.zeros > 0 && pattern.zeros < pattern.of ? pattern : undefined;
}

/** Marks, in each group of `of` scores of a row, the `zeros` smallest; of equal ones the first. */
export function maskPattern(
  scores: Float32Array | Float64Array,
  rows: number,
  columns: number,
  { zeros, of }: Pattern,
  mask: Uint8Array,
): void {
  for (let group = 0; group < rows * columns; group += of) markFew(scores, group, of, zeros, mask);
}

/** Marks the `count` smallest of `length` scores that begin at `from`, one after the other: for a few of a few. */
export function markFew(
  scores: Float32Array | Float64Array,
  from: number,
  length: number,
  count: number,
  mask: Uint8Array,
): void {
  for (let marked = 0; marked < count; marked++) {
    let least = -1;
    for (let i = from; i < from + length; i++) {
      if (mask[i] === 0 && (least < 0 || scores[i]! < scores[least]!)) least = i;
    }
    mask[least] = 1;
  }
}

/** Marks the `count` smallest of `length` scores that begin at `from`; of equal ones the first. */
export function markSmallest(
  scores: Float32Array,
  from: number,
  length: number,
  count: number,
  mask: Uint8Array,
): void {
  if (count === 0) return;
  const limit = ranked(scores.slice(from, from + length), count - 1);
  let ties = count;
  for (let i = from; i < from + length; i++) if (scores[i]! < limit) ties--;
  for (let i = from; i < from + length; i++) {
    if (scores[i]! < limit || (scores[i] === limit && ties-- > 0)) mask[i] = 1;
  }
}

/**
 * Marks every score up to that of rank `share * length`, ties included: the threshold that the authors of Wanda and SparseGPT
 * take over a whole matrix, or block of columns.
 */
export function maskThreshold(scores: Float32Array, share: number, mask: Uint8Array): void {
  const limit = ranked(scores.slice(), Math.min(scores.length - 1, Math.trunc(scores.length * share)));
  for (let i = 0; i < scores.length; i++) mask[i] = scores[i]! <= limit ? 1 : 0;
}
