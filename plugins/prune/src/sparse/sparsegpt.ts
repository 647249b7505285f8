import { commands, type Device, scope, Tensor } from '@largeforge/engine';
import { factorUpper, type UpperFactor, upperInverse } from '@largeforge/quantize';
import { pruneErrors } from '../errors.js';
import type { Amount } from './magnitude.js';
import { markFew, maskThreshold } from './mask.js';

/** Columns whose mask is chosen together. */
const BLOCK = 128;
/** Columns that go one after the other on the host; what they lose is carried to those behind them on the device. */
const STEP = 16;

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
  const step = pattern ? pattern.of * Math.ceil(STEP / pattern.of) : STEP;
  for (let start = 0; start < k; start += block) {
    const width = Math.min(block, k - start);
    const own = factor.blocks[start / block]!;
    const mask = new Uint8Array(n * width);
    if (!pattern) {
      const free = await freeChanges(device, errors, factor, start, own, width);
      const scores = new Float32Array(n * width);
      for (let row = 0; row < n; row++) {
        for (let j = 0; j < width; j++) {
          const at = row * width + j;
          scores[at] = ((original[row * k + start + j]! + free[at]!) * own[j * width + j]!) ** 2;
        }
      }
      maskThreshold(scores, sparsity, mask);
    }
    for (let from = 0; from < width; from += step) {
      const size = Math.min(step, width - from);
      const carried = await fromEarlier(device, errors, factor.upper, start + from, size);
      const differences = new Float32Array(n * size);
      const columns = { own, width, from, size };
      const place = { k, start, n };
      if (pattern) choosePattern({ original, carried, mask }, columns, place, pattern);
      compensate({ values, original, carried, mask, differences }, columns, place);
      scope(() => {
        const lost = Tensor.from(device, differences, [n, size]);
        commands.copy(device.recorder, lost, errors.narrow(1, start + from, size));
      });
    }
  }
}

/** Columns `from` to `from + size` of a block of `width`, whose diagonal block of U is `own`. */
interface Columns {
  readonly own: Float64Array;
  readonly width: number;
  readonly from: number;
  readonly size: number;
}

/** A block that begins at column `start` of a matrix [n, k]. */
interface Place {
  readonly n: number;
  readonly k: number;
  readonly start: number;
}

/** Makes what the mask says 0 in some columns, and the columns behind, among them, make up for it. `carried` is changed. */
function compensate(
  data: {
    readonly values: Float32Array;
    readonly original: Float32Array;
    /** [n, size] */
    readonly carried: Float32Array;
    /** [n, width] */
    readonly mask: Uint8Array;
    /** [n, size] what was lost; written */
    readonly differences: Float32Array;
  },
  { own, width, from, size }: Columns,
  { n, k, start }: Place,
): void {
  const { values, original, carried, mask, differences } = data;
  const sums = new Float64Array(size);
  for (let row = 0; row < n; row++) {
    for (let j = 0; j < size; j++) sums[j] = carried[row * size + j]!;
    for (let j = 0; j < size; j++) {
      const column = from + j;
      const at = row * k + start + column;
      const target = original[at]! + sums[j]! / own[column * width + column]!;
      const value = mask[row * width + column] ? 0 : target;
      values[at] = value;
      const error = original[at]! - value;
      differences[row * size + j] = error;
      const upper = column * width + from;
      for (let t = j + 1; t < size; t++) sums[t]! += error * own[upper + t]!;
    }
  }
}

/** Chooses which of each group of columns go, given that those of the groups before it have gone. */
function choosePattern(
  data: { readonly original: Float32Array; readonly carried: Float32Array; readonly mask: Uint8Array },
  { own, width, from, size }: Columns,
  { n, k, start }: Place,
  { zeros, of }: NonNullable<Amount['pattern']>,
): void {
  const { original, carried, mask } = data;
  const sums = new Float64Array(size);
  const errors = new Float64Array(size);
  const scores = new Float64Array(of);
  const marked = new Uint8Array(of);
  for (let row = 0; row < n; row++) {
    for (let j = 0; j < size; j++) sums[j] = carried[row * size + j]!;
    for (let group = 0; group < size; group += of) {
      // What these columns would be if none of them went: x U = -sums, x the changes.
      for (let j = group; j < group + of; j++) {
        const column = from + j;
        let sum = sums[j]!;
        for (let i = group; i < j; i++) sum += errors[i]! * own[(from + i) * width + column]!;
        const diagonal = own[column * width + column]!;
        errors[j] = -sum / diagonal;
        scores[j - group] = ((original[row * k + start + column]! - errors[j]!) * diagonal) ** 2;
      }
      marked.fill(0);
      markFew(scores, 0, of, zeros, marked);
      // Those that stay become what makes up for the others.
      for (let j = group; j < group + of; j++) {
        const column = from + j;
        mask[row * width + column] = marked[j - group]!;
        const weight = original[row * k + start + column]!;
        errors[j] = marked[j - group] ? weight : -sums[j]! / own[column * width + column]!;
        for (let t = j + 1; t < size; t++) sums[t]! += errors[j]! * own[column * width + from + t]!;
      }
    }
  }
}

/**
 * How far the columns of a block move, [n, width], when those before it have gone as they have and none of its own goes:
 * the x of x U = carried.
 */
async function freeChanges(
  device: Device,
  errors: Tensor,
  { upper }: UpperFactor,
  start: number,
  own: Float64Array,
  width: number,
): Promise<Float32Array> {
  const n = errors.shape[0]!;
  if (start === 0) return new Float32Array(n * width);
  using changes = scope(() => {
    const inverse = Tensor.from(device, Float32Array.from(upperInverse(own, width)), [width, width]);
    const out = Tensor.empty(device, [n, width]);
    const carried = recordEarlier(device, errors, upper, start, width);
    commands.matmul(device.recorder, { math: 'f32' }, { a: carried, b: inverse, c: out });
    return out;
  });
  return await changes.floats();
}

/** Sums over the columns before `start` of their errors times U, for some columns from it on, [n, width]. */
async function fromEarlier(
  device: Device,
  errors: Tensor,
  upper: Tensor,
  start: number,
  width: number,
): Promise<Float32Array> {
  if (start === 0) return new Float32Array(errors.shape[0]! * width);
  using sums = scope(() => recordEarlier(device, errors, upper, start, width));
  return await sums.floats();
}

function recordEarlier(device: Device, errors: Tensor, upper: Tensor, start: number, width: number): Tensor {
  const out = Tensor.empty(device, [errors.shape[0]!, width]);
  const a = errors.narrow(1, 0, start);
  const b = upper.narrow(0, 0, start).narrow(1, start, width);
  commands.matmul(device.recorder, { math: 'f32' }, { a, b, c: out });
  return out;
}
