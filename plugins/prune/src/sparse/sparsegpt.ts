import { commands, type Device, scope, Tensor } from '@largeforge/engine';
import { factorUpper, type UpperFactor } from '@largeforge/quantize';
import { pruneErrors } from '../errors.js';
import type { Amount } from './magnitude.js';
import { markSmallest, maskThreshold } from './mask.js';

/** Columns whose mask is chosen together. */
const BLOCK = 128;

/** The factor of a Hessian, and which inputs no activation reaches. */
export interface Hessian extends Disposable {
  readonly factor: UpperFactor;
  readonly dead: Uint8Array;
  readonly block: number;
}

/**
 * Factors X^T X with `damping` times the mean of its diagonal added, more where that is not enough.
 * Throws LF_PRUNE_ACTIVATIONS for inputs that are no finite numbers.
 */
export async function prepareHessian(
  device: Device,
  layer: string,
  square: Float32Array,
  { damping, pattern }: { readonly damping: number } & Pick<Amount, 'pattern'>,
): Promise<Hessian> {
  const k = Math.round(Math.sqrt(square.length));
  const dead = Uint8Array.from({ length: k }, (_, i) => (square[i * k + i] === 0 ? 1 : 0));
  const hessian = square.slice();
  let mean = 0;
  for (let i = 0; i < k; i++) mean += hessian[i * k + i]! / k;
  if (!Number.isFinite(mean)) throw pruneErrors.LF_PRUNE_ACTIVATIONS({ layer });
  for (let i = 0; i < k; i++) if (dead[i]) hessian[i * k + i] = mean || 1;
  const block = pattern && BLOCK % pattern.of !== 0 ? pattern.of * Math.ceil(BLOCK / pattern.of) : BLOCK;
  for (let share = damping; share <= 10; share = Math.max(share * 10, 1e-4)) {
    const matrix = new Float32Array(k * k);
    for (let i = 0; i < k; i++) {
      for (let j = i; j < k; j++) {
        matrix[i * k + j] = hessian[i * k + j]!;
        matrix[j * k + i] = hessian[i * k + j]!;
      }
      matrix[i * k + i]! += share * (mean || 1);
    }
    const factor = await factorUpper(device, Tensor.from(device, matrix, [k, k], 'f32', 'persistent'), block);
    if (factor) return { factor, dead, block, [Symbol.dispose]: () => factor[Symbol.dispose]() };
  }
  throw pruneErrors.LF_PRUNE_ACTIVATIONS({ layer });
}

/**
 * SparseGPT (Frantar and Alistarh 2023): columns in order, each pruned where w^2 / [H^-1]_jj is small, and those behind it make up
 * for it. With H = U U^T, U upper triangular, [H^-1] restricted to the columns from j on has the diagonal 1 / U[j, j]^2, and
 * column t has become w_t + sum_{i<t} (w_i - q_i) U[i, t] / U[t, t]: no inverse is needed.
 * @param values [N, K]; they become what is left
 */
export async function sparseGpt(
  device: Device,
  values: Float32Array,
  { factor, dead, block }: Hessian,
  { sparsity, pattern }: Amount,
): Promise<void> {
  const k = dead.length;
  const n = values.length / k;
  for (let at = 0; at < values.length; at++) if (dead[at % k]) values[at] = 0;
  const original = values.slice();
  using errors = Tensor.empty(device, [n, k], 'f32', 'persistent');
  for (let start = 0; start < k; start += block) {
    const width = Math.min(block, k - start);
    const own = factor.blocks[start / block]!;
    const earlier = start === 0 ? undefined : await fromEarlier(device, errors, factor.upper, start, width);
    const carried = earlier ? Float64Array.from(earlier) : new Float64Array(n * width);
    const mask = new Uint8Array(n * width);
    if (!pattern) {
      const scores = new Float32Array(n * width);
      const free = new Float64Array(width);
      for (let row = 0; row < n; row++) {
        freeTargets(original, row * k + start, carried, row * width, own, width, free);
        for (let j = 0; j < width; j++) scores[row * width + j] = (free[j]! * own[j * width + j]!) ** 2;
      }
      maskThreshold(scores, sparsity, mask);
    }
    const differences = new Float32Array(n * width);
    const group = new Float64Array(width);
    const scores = new Float64Array(pattern?.of ?? 0);
    const order = new Uint32Array(pattern?.of ?? 0);
    const marked = new Uint8Array(pattern?.of ?? 0);
    for (let row = 0; row < n; row++) {
      const from = row * k + start;
      // carried[j] gains e_i U[i, j] of every column i before it, pruned or not.
      for (let j = 0; j < width; j++) {
        if (pattern && j % pattern.of === 0) {
          const size = Math.min(pattern.of, width - j);
          freeTargets(original, from, carried, row * width, own, width, group, j, j + size);
          for (let i = 0; i < size; i++) scores[i] = (group[j + i]! * own[(j + i) * width + j + i]!) ** 2;
          marked.fill(0);
          markSmallest(scores, 0, size, pattern.zeros, order, marked);
          for (let i = 0; i < size; i++) mask[row * width + j + i] = marked[i]!;
        }
        const diagonal = own[j * width + j]!;
        const target = original[from + j]! + carried[row * width + j]! / diagonal;
        const value = mask[row * width + j] ? 0 : target;
        values[from + j] = value;
        const error = original[from + j]! - value;
        differences[row * width + j] = error;
        for (let t = j + 1; t < width; t++) carried[row * width + t]! += error * own[j * width + t]!;
      }
    }
    scope(() => {
      const columns = Tensor.from(device, differences, [n, width]);
      commands.copy(device.recorder, columns, errors.narrow(1, start, width));
    });
  }
}

/**
 * What columns `first` to `last` of a block are, when everything before `first` is as it is and nothing behind it is pruned:
 * x U = -carried on them, x the changes.
 */
function freeTargets(
  original: Float32Array,
  from: number,
  carried: Float64Array,
  at: number,
  own: Float64Array,
  width: number,
  out: Float64Array,
  first = 0,
  last = width,
): void {
  for (let j = first; j < last; j++) {
    let sum = carried[at + j]!;
    for (let i = first; i < j; i++) sum += (original[from + i]! - out[i]!) * own[i * width + j]!;
    out[j] = original[from + j]! + sum / own[j * width + j]!;
  }
}

/** Sums over the columns before `start` of their errors times U, for a block of columns, [N, width]. */
async function fromEarlier(
  device: Device,
  errors: Tensor,
  upper: Tensor,
  start: number,
  width: number,
): Promise<Float32Array> {
  using sums = scope(() => {
    const out = Tensor.empty(device, [errors.shape[0]!, width]);
    const a = errors.narrow(1, 0, start);
    const b = upper.narrow(0, 0, start).narrow(1, start, width);
    commands.matmul(device.recorder, { math: 'f32' }, { a, b, c: out });
    return out;
  });
  return await sums.floats();
}
