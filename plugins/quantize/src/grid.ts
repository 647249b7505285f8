import { type QuantizedWeight, rounded, type ScaleDType } from '@largeforge/engine';

/** The values that codes of a group can mean, and how they are chosen. */
export interface GridOptions {
  readonly bits: number;
  readonly symmetric: boolean;
  /** What scales are stored as: the grid is that of the rounded scale. */
  readonly scaleDType: ScaleDType;
  /** Tries shrunken ranges for the least error; else a grid spans the whole range of its group. */
  readonly search: boolean;
}

/** Ranges that are tried, as shares of the whole range of a group. */
const SHRINK = Array.from({ length: 25 }, (_, i) => 1 - i * 0.02);
const WHOLE = [1];

/**
 * Finds the scales and zeros of groups. One object serves any number of groups without making others: there are millions in
 * a model.
 */
export class GridSearch {
  /** Of the group that was searched last. */
  scale = 1;
  zero = 0;
  private readonly levels: number;
  private readonly half: number;
  private readonly shares: readonly number[];

  constructor(private readonly options: GridOptions) {
    this.levels = 2 ** options.bits - 1;
    this.half = 2 ** (options.bits - 1);
    this.shares = options.search ? SHRINK : WHOLE;
  }

  /**
   * Sets `scale` and `zero` to those with the least weighted squared rounding error among shrunken ranges. A symmetric grid
   * has its zero at half of the codes, with scale = largest / (2^(bits - 1) - 0.5) before shrinking.
   * @param values in which `length` weights of the group begin at `from`
   * @param importance what the squared error of each counts, beginning at `first`
   */
  find(values: Float64Array, from: number, length: number, importance: Float64Array, first: number): void {
    const { levels, half } = this;
    const { symmetric, scaleDType } = this.options;
    let low = 0;
    let high = 0;
    for (let i = from; i < from + length; i++) {
      const value = values[i]!;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    this.zero = half;
    this.scale = 1;
    if (low === 0 && high === 0) return;
    let least = Number.POSITIVE_INFINITY;
    const range = symmetric ? 2 * Math.max(-low, high) : high - low;
    let best = 1;
    for (let s = 0; s < this.shares.length; s++) {
      const share = this.shares[s]!;
      const scale = (range / levels) * share;
      const zero = symmetric ? half : Math.min(levels, Math.max(0, Math.round((-low * share) / scale)));
      const inverse = 1 / scale;
      const bottom = -zero;
      const top = levels - zero;
      let error = 0;
      for (let i = 0; i < length && error < least; i++) {
        const value = values[from + i]!;
        let code = Math.floor(value * inverse + 0.5);
        if (code < bottom) code = bottom;
        else if (code > top) code = top;
        const difference = value - code * scale;
        error += importance[first + i]! * difference * difference;
      }
      if (error < least) {
        least = error;
        best = scale;
        this.zero = zero;
      }
    }
    // A scale that the type cannot tell from 0 would lose the group; its smallest number keeps it.
    this.scale = rounded(best, scaleDType) || 2 ** -24;
  }
}

/** The code whose value is nearest. */
export function codeOf(value: number, scale: number, zero: number, levels: number): number {
  const code = Math.floor(value / scale + 0.5) + zero;
  return code < 0 ? 0 : code > levels ? levels : code;
}

/**
 * A weight [N, K] rounded to the nearest codes, group by group.
 * @param importance [K] what the squared error of a column counts; all the same unless given
 */
export function roundToNearest(
  values: Float32Array,
  inFeatures: number,
  groupSize: number,
  options: GridOptions,
  importance: Float64Array = new Float64Array(inFeatures).fill(1),
): QuantizedWeight {
  const outFeatures = values.length / inFeatures;
  const groups = inFeatures / groupSize;
  const levels = 2 ** options.bits - 1;
  const codes = new Uint8Array(values.length);
  const scales = new Float32Array(outFeatures * groups);
  const zeros = new Uint16Array(outFeatures * groups);
  const group = new Float64Array(groupSize);
  const search = new GridSearch(options);
  for (let at = 0; at < scales.length; at++) {
    const start = (at % groups) * groupSize;
    const from = Math.floor(at / groups) * inFeatures + start;
    for (let i = 0; i < groupSize; i++) group[i] = values[from + i]!;
    search.find(group, 0, groupSize, importance, start);
    const { scale, zero } = search;
    scales[at] = scale;
    zeros[at] = zero;
    for (let i = 0; i < groupSize; i++) codes[from + i] = codeOf(group[i]!, scale, zero, levels);
  }
  return { outFeatures, inFeatures, bits: options.bits, groups, codes, scales, zeros };
}
