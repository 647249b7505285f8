/** What encoders make of a text: a dense vector, weighted buckets of n-grams, or both. */
export interface Features {
  /** A unit vector; empty when there is none. */
  readonly dense: Float32Array;
  /** Buckets with a weight, each once. */
  readonly buckets: Int32Array;
  readonly weights: Float32Array;
}

export const noDense = new Float32Array(0);
export const noBuckets = { buckets: new Int32Array(0), weights: new Float32Array(0) };

/** Dot product of two vectors of one length. */
export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** Scales a vector to unit length in place; a zero vector stays zero. */
export function toUnit(vector: Float32Array): Float32Array {
  const norm = Math.sqrt(dot(vector, vector));
  if (norm > 0) for (let i = 0; i < vector.length; i++) vector[i]! /= norm;
  return vector;
}
