/** A weight matrix [N, K] of small integers: W[n, k] = (codes[n, k] - zeros[n, g]) * scales[n, g], g the group of k. */
export interface QuantizedWeight {
  readonly outFeatures: number;
  readonly inFeatures: number;
  readonly bits: number;
  readonly groups: number;
  /** [N, K], each below 2^bits. */
  readonly codes: Uint8Array;
  /** [N, groups] */
  readonly scales: Float32Array;
  /** [N, groups], 0 to 2^bits. */
  readonly zeros: Uint16Array;
  /** [K] group of each column; consecutive runs of K / groups columns unless given. */
  readonly groupIndex?: Int32Array;
}

/** The values that a quantised weight stands for, f32 [N, K]. */
export function dequantize(weight: QuantizedWeight): Float32Array {
  const { outFeatures, inFeatures, groups, codes, scales, zeros } = weight;
  const group =
    weight.groupIndex ?? Int32Array.from({ length: inFeatures }, (_, k) => Math.floor((k * groups) / inFeatures));
  const values = new Float32Array(outFeatures * inFeatures);
  for (let n = 0; n < outFeatures; n++) {
    for (let k = 0; k < inFeatures; k++) {
      const g = n * groups + group[k]!;
      values[n * inFeatures + k] = (codes[n * inFeatures + k]! - zeros[g]!) * scales[g]!;
    }
  }
  return values;
}
