/** Vectors whose cosine is nearer to 1 or -1 are interpolated linearly. */
const PARALLEL = 0.9995;
const SMALLEST = 1e-8;

/**
 * Spherical interpolation from `a` (t = 0) to `b` (t = 1) (Shoemake 1985, section 3.3), over all values of a tensor; of
 * vectors that are all but parallel, the linear one. As mergekit computes it. In the place of `b`.
 */
export function slerp(a: Float32Array, b: Float32Array, t: number): Float32Array {
  const norm = (values: Float32Array) => {
    let sum = 0;
    for (const value of values) sum += value * value;
    const size = Math.sqrt(sum);
    return size > SMALLEST ? size : 1;
  };
  const [normA, normB] = [norm(a), norm(b)];
  let cosine = 0;
  for (let i = 0; i < a.length; i++) cosine += (a[i]! / normA) * (b[i]! / normB);
  cosine = Math.min(1, Math.max(-1, cosine));
  let [ofA, ofB] = [1 - t, t];
  if (Math.abs(cosine) <= PARALLEL) {
    const theta = Math.acos(cosine);
    [ofA, ofB] = [Math.sin((1 - t) * theta) / Math.sin(theta), Math.sin(t * theta) / Math.sin(theta)];
  }
  for (let i = 0; i < b.length; i++) b[i] = ofA * a[i]! + ofB * b[i]!;
  return b;
}
