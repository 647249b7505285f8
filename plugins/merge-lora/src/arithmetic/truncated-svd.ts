import { commands, type Device, PhiloxStream, scope, Tensor } from '@largeforge/engine';

/** Directions that are followed beside those that are asked for. */
const OVERSAMPLING = 16;
const ITERATIONS = 12;

/** A matrix of low rank: `b` [n, rank] times `a` [rank, k], the singular values in `b`. */
export interface LowRank {
  readonly a: Float32Array;
  readonly b: Float32Array;
}

/**
 * The best approximation of a matrix by one of lower rank, by subspace iteration (Halko, Martinsson and Tropp 2011,
 * algorithm 4.4): products on the device, small orthogonalisations on the host in f64.
 * @param matrix [n, k]
 */
export async function truncatedSvd(
  device: Device,
  matrix: Float32Array,
  [n, k]: readonly [number, number],
  rank: number,
): Promise<LowRank> {
  const width = Math.min(rank + OVERSAMPLING, n, k);
  using source = scope(() => Tensor.from(device, matrix, [n, k]));
  const random = new PhiloxStream(0, 0);
  let right = columns(k, width, () => random.uint32() / 2 ** 31 - 1);
  orthonormalize(right);
  let left: Float64Array[] = [];
  for (let i = 0; i < ITERATIONS; i++) {
    left = await multiply(device, source, right, false);
    orthonormalize(left);
    right = await multiply(device, source, left, true);
    if (i < ITERATIONS - 1) orthonormalize(right);
  }
  // Now matrix is all but left rightᵀ with orthonormal left: the small matrix rightᵀ right gives the rotation that sorts it.
  const rotation = symmetricVectors(gram(right));
  const kept = Math.min(rank, width);
  const b = new Float32Array(n * rank);
  const a = new Float32Array(rank * k);
  for (let j = 0; j < kept; j++) {
    const vector = rotation[j]!;
    const value = Math.sqrt(Math.max(vector.value, 0));
    for (let row = 0; row < n; row++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += left[i]![row]! * vector.vector[i]!;
      b[row * rank + j] = sum * value;
    }
    for (let column = 0; column < k; column++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += right[i]![column]! * vector.vector[i]!;
      a[j * k + column] = value === 0 ? 0 : sum / value;
    }
  }
  return { a, b };
}

const columns = (length: number, count: number, value: () => number): Float64Array[] =>
  Array.from({ length: count }, () => Float64Array.from({ length }, value));

/** The product of a matrix, or of its transpose, with columns. */
async function multiply(
  device: Device,
  matrix: Tensor,
  vectors: readonly Float64Array[],
  transposed: boolean,
): Promise<Float64Array[]> {
  const width = vectors.length;
  const [n, k] = matrix.shape as [number, number];
  const [rows, inner] = transposed ? [k, n] : [n, k];
  const flat = new Float32Array(width * inner);
  for (const [j, vector] of vectors.entries()) flat.set(vector, j * inner);
  using product = scope(() => {
    const right = Tensor.from(device, flat, [width, inner]);
    const out = Tensor.empty(device, [rows, width]);
    commands.matmul(
      device.recorder,
      { transA: transposed, transB: true, math: 'f32' },
      { a: matrix, b: right, c: out },
    );
    return out;
  });
  const values = await product.floats();
  return Array.from({ length: width }, (_, j) =>
    Float64Array.from({ length: rows }, (_, row) => values[row * width + j]!),
  );
}

/** Gram-Schmidt, twice: once leaves too much of what is all but parallel. Vectors that vanish become 0. */
function orthonormalize(vectors: readonly Float64Array[]): void {
  vectors.forEach((vector, j) => {
    const size = Math.sqrt(dot(vector, vector));
    for (let pass = 0; pass < 2; pass++) {
      for (let i = 0; i < j; i++) {
        const share = dot(vector, vectors[i]!);
        for (let at = 0; at < vector.length; at++) vector[at]! -= share * vectors[i]![at]!;
      }
    }
    const left = Math.sqrt(dot(vector, vector));
    const factor = left > 1e-10 * size && left > 0 ? 1 / left : 0;
    for (let at = 0; at < vector.length; at++) vector[at]! *= factor;
  });
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

const gram = (vectors: readonly Float64Array[]): Float64Array[] =>
  vectors.map((a) => Float64Array.from(vectors, (b) => dot(a, b)));

/** Eigenvectors of a symmetric matrix by falling eigenvalue: Jacobi's rotations (Golub and Van Loan, algorithm 8.5.3). */
function symmetricVectors(matrix: readonly Float64Array[]): { value: number; vector: Float64Array }[] {
  const n = matrix.length;
  const a = matrix.map((row) => row.slice());
  const vectors = Array.from({ length: n }, (_, i) => Float64Array.from({ length: n }, (_, j) => (i === j ? 1 : 0)));
  const size = Math.sqrt(a.reduce((sum, row) => sum + dot(row, row), 0));
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) off += a[p]![q]! ** 2;
    if (Math.sqrt(off) <= 1e-14 * size) break;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (a[p]![q] === 0) continue;
        const tau = (a[q]![q]! - a[p]![p]!) / (2 * a[p]![q]!);
        const tangent = (tau >= 0 ? 1 : -1) / (Math.abs(tau) + Math.sqrt(1 + tau * tau));
        const cosine = 1 / Math.sqrt(1 + tangent * tangent);
        const sine = tangent * cosine;
        for (let i = 0; i < n; i++) {
          const [x, y] = [a[i]![p]!, a[i]![q]!];
          a[i]![p] = cosine * x - sine * y;
          a[i]![q] = sine * x + cosine * y;
        }
        for (let i = 0; i < n; i++) {
          const [x, y] = [a[p]![i]!, a[q]![i]!];
          a[p]![i] = cosine * x - sine * y;
          a[q]![i] = sine * x + cosine * y;
        }
        for (let i = 0; i < n; i++) {
          const [x, y] = [vectors[p]![i]!, vectors[q]![i]!];
          vectors[p]![i] = cosine * x - sine * y;
          vectors[q]![i] = sine * x + cosine * y;
        }
      }
    }
  }
  return vectors.map((vector, i) => ({ value: a[i]![i]!, vector })).sort((first, second) => second.value - first.value);
}
