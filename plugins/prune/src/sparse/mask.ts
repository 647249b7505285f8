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
  const order = new Uint32Array(of);
  for (let group = 0; group < rows * columns; group += of) {
    markSmallest(scores, group, of, zeros, order, mask);
  }
}

/** Marks the `count` smallest of `length` scores that begin at `from`. `order` is room for their indices. */
export function markSmallest(
  scores: Float32Array | Float64Array,
  from: number,
  length: number,
  count: number,
  order: Uint32Array,
  mask: Uint8Array,
): void {
  for (let i = 0; i < length; i++) order[i] = i;
  order.subarray(0, length).sort((a, b) => scores[from + a]! - scores[from + b]! || a - b);
  for (let i = 0; i < count; i++) mask[from + order[i]!] = 1;
}

/**
 * Marks every score up to that of rank `share * length`, ties included: the threshold that the authors of Wanda and SparseGPT
 * take over a whole matrix, or block of columns.
 */
export function maskThreshold(scores: Float32Array | Float64Array, share: number, mask: Uint8Array): void {
  const sorted = scores.slice().sort();
  const threshold = sorted[Math.min(sorted.length - 1, Math.trunc(scores.length * share))]!;
  for (let i = 0; i < scores.length; i++) mask[i] = scores[i]! <= threshold ? 1 : 0;
}
