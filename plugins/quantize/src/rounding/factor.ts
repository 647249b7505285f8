import { commands, type Device, scope, Tensor } from '@largeforge/engine';

/** H = U U^T with U upper triangular. Below its diagonal blocks, `upper` holds what is no part of U. */
export interface UpperFactor extends Disposable {
  /** f32 [K, K] on the device. */
  readonly upper: Tensor;
  /** [K] */
  readonly diagonal: Float64Array;
  /** Diagonal blocks of U on the host, [width, width] each, the last one perhaps narrower. */
  readonly blocks: readonly Float64Array[];
}

/**
 * Factors a symmetric positive definite matrix from its last block of columns to its first: diagonal blocks on the host in
 * f64, everything else as products on the device. Returns undefined when the matrix is not positive definite.
 * @param upper f32 [K, K], of which the upper half is used; it becomes the factor's, or is disposed when there is none
 * @param width of a block
 */
export async function factorUpper(device: Device, upper: Tensor, width: number): Promise<UpperFactor | undefined> {
  const k = upper.shape[0]!;
  const count = Math.ceil(k / width);
  const diagonal = new Float64Array(k);
  const blocks: Float64Array[] = new Array(count);
  for (let block = count - 1; block >= 0; block--) {
    const start = block * width;
    const size = Math.min(width, k - start);
    const corner = await cornerOf(upper, start, size);
    const own = upperCholesky(Float64Array.from(corner), size);
    if (!own) {
      upper.dispose();
      return undefined;
    }
    blocks[block] = own;
    for (let i = 0; i < size; i++) diagonal[start + i] = own[i * size + i]!;
    scope(() => {
      const { recorder } = device;
      const place = upper.narrow(0, start, size).narrow(1, start, size);
      commands.copy(recorder, Tensor.from(device, Float32Array.from(own), [size, size]), place);
      if (start === 0) return;
      const rows = upper.narrow(0, 0, start);
      const panel = rows.narrow(1, start, size);
      const inverse = Tensor.from(device, Float32Array.from(upperInverse(own, size)), [size, size]);
      const solved = Tensor.empty(device, [start, size]);
      commands.matmul(recorder, { transB: true, math: 'f32' }, { a: panel, b: inverse, c: solved });
      commands.copy(recorder, solved, panel);
      const rest = rows.narrow(1, 0, start);
      commands.matmul(recorder, { transB: true, alpha: -1, beta: 1, math: 'f32' }, { a: solved, b: solved, c: rest });
    });
  }
  return { upper, diagonal, blocks, [Symbol.dispose]: () => upper.dispose() };
}

async function cornerOf(upper: Tensor, start: number, size: number): Promise<Float32Array> {
  const corner = scope(() => {
    const copy = Tensor.empty(upper.device, [size, size]);
    commands.copy(upper.device.recorder, upper.narrow(0, start, size).narrow(1, start, size), copy);
    return copy;
  });
  const values = await corner.floats();
  corner.dispose();
  return values;
}

/** U of a small matrix [n, n]; undefined when it is not positive definite. */
export function upperCholesky(matrix: Float64Array, n: number): Float64Array | undefined {
  const u = new Float64Array(n * n);
  for (let i = n - 1; i >= 0; i--) {
    for (let j = n - 1; j >= i; j--) {
      let rest = matrix[i * n + j]!;
      for (let t = j + 1; t < n; t++) rest -= u[i * n + t]! * u[j * n + t]!;
      if (i !== j) u[i * n + j] = rest / u[j * n + j]!;
      else if (!(rest > 0)) return undefined;
      else u[i * n + i] = Math.sqrt(rest);
    }
  }
  return u;
}

/** The inverse of an upper triangular matrix [n, n]. */
export function upperInverse(u: Float64Array, n: number): Float64Array {
  const inverse = new Float64Array(n * n);
  for (let j = 0; j < n; j++) {
    inverse[j * n + j] = 1 / u[j * n + j]!;
    for (let i = j - 1; i >= 0; i--) {
      let sum = 0;
      for (let t = i + 1; t <= j; t++) sum += u[i * n + t]! * inverse[t * n + j]!;
      inverse[i * n + j] = -sum / u[i * n + i]!;
    }
  }
  return inverse;
}
