import { commands, type Device, type QuantizedWeight, scope, Tensor } from '@largeforge/engine';
import { codeOf, type GridOptions, GridSearch, quantizeErrors } from '@largeforge/quantize';
import { factorUpper, type UpperFactor } from './factor.js';

export interface GptqOptions extends GridOptions {
  readonly groupSize: number;
  /**
   * Quantises the columns with the largest activations first. Groups stay runs of columns; their scales are fixed before
   * the first column is rounded. Without it, a group's scales are found when its turn comes, from weights that make up for
   * the errors before it.
   */
  readonly actOrder: boolean;
  /** Share of the mean of the Hessian's diagonal that is added to it; tenfold until it can be factored. */
  readonly damping: number;
}

/** A Hessian, ready for every layer that reads the same inputs. */
export interface Preparation extends Disposable {
  readonly factor: UpperFactor;
  /** [K] columns in the order in which they are quantised. */
  readonly order: Int32Array;
  /** [K] 1 for columns that no activation reaches. */
  readonly dead: Uint8Array;
  /** What was added to the diagonal, as a share of its mean. */
  readonly damping: number;
  /** Columns whose errors the host carries on; the device carries them to all columns behind. */
  readonly block: number;
}

export interface GptqResult {
  readonly weight: QuantizedWeight;
  /** Of the layer's outputs on the calibration rows, squared, over the outputs themselves: tr(E H E^T) / tr(W H W^T). */
  readonly relativeError: number;
}

const BLOCK = 128;

/**
 * Factors the Hessian of a layer's inputs.
 * @param name of a layer that reads them, for errors
 * @param hessian [K, K], a multiple of X^T X; its upper half is used
 */
export async function prepare(
  device: Device,
  name: string,
  hessian: Float32Array,
  options: Pick<GptqOptions, 'actOrder' | 'damping' | 'groupSize'>,
): Promise<Preparation> {
  const k = Math.round(Math.sqrt(hessian.length));
  const order = columnOrder(hessian, k, options.actOrder);
  const dead = Uint8Array.from({ length: k }, (_, column) => (hessian[column * k + column] === 0 ? 1 : 0));
  // Groups whose scales come from updated weights begin where a block does.
  const block = options.actOrder ? BLOCK : blockFor(options.groupSize);
  let mean = 0;
  for (let i = 0; i < k; i++) mean += hessian[i * k + i]! / k;
  if (!Number.isFinite(mean)) throw quantizeErrors.LF_QUANTIZE_ACTIVATIONS({ layer: name });
  if (mean === 0) mean = 1;
  for (let damping = options.damping; damping <= 10; damping = Math.max(damping * 10, 1e-4)) {
    const matrix = new Float32Array(k * k);
    for (let a = 0; a < k; a++) {
      for (let b = 0; b < k; b++) {
        const [i, j] = [order[a]!, order[b]!];
        // The upper half alone, so that rounding of the products cannot make it unsymmetric.
        matrix[a * k + b] = i < j ? hessian[i * k + j]! : hessian[j * k + i]!;
      }
      matrix[a * k + a]! += damping * mean;
    }
    const factor = await factorUpper(device, matrix, block);
    if (factor) return { factor, order, dead, damping, block, [Symbol.dispose]: () => factor[Symbol.dispose]() };
  }
  throw quantizeErrors.LF_QUANTIZE_ACTIVATIONS({ layer: name });
}

/** A width of blocks that whole groups fill, or that fills whole groups. */
function blockFor(groupSize: number): number {
  return groupSize >= BLOCK ? groupSize : groupSize * Math.floor(BLOCK / groupSize);
}

/**
 * GPTQ (Frantar et al. 2022) in the form of LDLQ (Chee et al. 2023, theorem 6: the same algorithm): with H = U U^T, U upper
 * triangular, column t is rounded after sum_{i<t} (w_i - q_i) U[i, t] / U[t, t] was added to it. It needs one triangular
 * factor and no inverse.
 * @param values [N, K]
 */
export async function gptq(
  device: Device,
  values: Float32Array,
  { factor, order, dead, block }: Preparation,
  options: GptqOptions,
): Promise<GptqResult> {
  const { bits, groupSize, actOrder } = options;
  const k = order.length;
  const n = values.length / k;
  const groups = k / groupSize;
  const levels = 2 ** bits - 1;
  const ordered = inOrder(values, order, dead);
  const scales = new Float32Array(n * groups);
  const zeros = new Uint16Array(n * groups);
  const importance = diagonalSquares(factor, k, block);
  if (actOrder) fixedGrids(ordered, order, importance, { scales, zeros }, options);

  using errors = Tensor.empty(device, [n, k], 'f32', 'persistent');
  const codes = new Uint8Array(n * k);
  const search = new GridSearch(options);
  let lost = 0;
  for (let start = 0; start < k; start += block) {
    const width = Math.min(block, k - start);
    const own = factor.blocks[start / block]!;
    const before = start === 0 ? undefined : await fromEarlier(device, errors, factor.upper, start, width);
    const differences = new Float32Array(n * width);
    // carry[j, i] = U[i, j] / U[j, j] for i < j: rows, so that the inner products below run over memory in order.
    const carry = new Float64Array(width * width);
    for (let j = 0; j < width; j++) {
      for (let i = 0; i < j; i++) carry[j * width + i] = own[i * width + j]! / own[j * width + j]!;
    }
    const targets = new Float64Array(width);
    const free = new Float64Array(width);
    const errorsOfRow = new Float64Array(width);
    for (let row = 0; row < n; row++) {
      for (let j = 0; j < width; j++) {
        const carried = before ? before[row * width + j]! / own[j * width + j]! : 0;
        targets[j] = ordered[row * k + start + j]! + carried;
      }
      for (let j = 0; j < width; j++) {
        if (!actOrder && j % groupSize === 0) {
          // What the columns of the group would best be, given the errors before it: each as if those of the group before
          // it were not rounded.
          for (let m = j; m < j + groupSize; m++) {
            targets[m]! += product(errorsOfRow, carry, m * width, 0, j);
            free[m] = targets[m]! + product(errorsOfRow, carry, m * width, j, m);
            errorsOfRow[m] = ordered[row * k + start + m]! - free[m]!;
          }
          const at = row * groups + (start + j) / groupSize;
          search.find(free, j, groupSize, importance, start + j);
          scales[at] = search.scale;
          zeros[at] = search.zero;
        }
        const known = actOrder ? 0 : j - (j % groupSize);
        const target = targets[j]! + product(errorsOfRow, carry, j * width, known, j);
        const column = order[start + j]!;
        const at = row * groups + Math.floor(column / groupSize);
        const code = codeOf(target, scales[at]!, zeros[at]!, levels);
        const value = (code - zeros[at]!) * scales[at]!;
        codes[row * k + column] = code;
        errorsOfRow[j] = ordered[row * k + start + j]! - value;
        differences[row * width + j] = errorsOfRow[j]!;
        lost += importance[start + j]! * (target - value) ** 2;
      }
    }
    scope(() => {
      const columns = Tensor.from(device, differences, [n, width]);
      commands.copy(device.recorder, columns, errors.narrow(1, start, width));
    });
  }
  const whole = await energy(device, ordered, factor, n, k, block);
  return {
    weight: { outFeatures: n, inFeatures: k, bits, groups, codes, scales, zeros },
    relativeError: whole === 0 ? 0 : lost / whole,
  };
}

/** Sum of errors[i] * carry[at + i], from..to. */
function product(errors: Float64Array, carry: Float64Array, at: number, from: number, to: number): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let i = from;
  for (; i + 3 < to; i += 4) {
    a += errors[i]! * carry[at + i]!;
    b += errors[i + 1]! * carry[at + i + 1]!;
    c += errors[i + 2]! * carry[at + i + 2]!;
    d += errors[i + 3]! * carry[at + i + 3]!;
  }
  for (; i < to; i++) a += errors[i]! * carry[at + i]!;
  return a + b + c + d;
}

/** Columns in the order of quantisation, those that no activation reaches as 0. */
function inOrder(values: Float32Array, order: Int32Array, dead: Uint8Array): Float32Array {
  const k = order.length;
  const ordered = new Float32Array(values.length);
  for (let row = 0; row < values.length; row += k) {
    for (let t = 0; t < k; t++) ordered[row + t] = dead[order[t]!] ? 0 : values[row + order[t]!]!;
  }
  return ordered;
}

/** Scales of groups from weights as they are. */
function fixedGrids(
  ordered: Float32Array,
  order: Int32Array,
  importance: Float64Array,
  { scales, zeros }: { scales: Float32Array; zeros: Uint16Array },
  options: GptqOptions,
): void {
  const { groupSize } = options;
  const k = order.length;
  const groups = k / groupSize;
  const place = new Int32Array(k);
  order.forEach((column, t) => {
    place[column] = t;
  });
  const group = new Float64Array(groupSize);
  const weights = new Float64Array(groupSize);
  const search = new GridSearch(options);
  for (let at = 0; at < scales.length; at++) {
    const start = (at % groups) * groupSize;
    const row = Math.floor(at / groups) * k;
    for (let i = 0; i < groupSize; i++) {
      const t = place[start + i]!;
      group[i] = ordered[row + t]!;
      weights[i] = importance[t]!;
    }
    search.find(group, 0, groupSize, weights, 0);
    scales[at] = search.scale;
    zeros[at] = search.zero;
  }
}

/** What the errors of the columns before `start` add to a block of columns, times the diagonal of U, [N, width]. */
async function fromEarlier(
  device: Device,
  errors: Tensor,
  upper: Tensor,
  start: number,
  width: number,
): Promise<Float32Array> {
  const out = scope(() => {
    const sums = Tensor.empty(device, [errors.shape[0]!, width]);
    const a = errors.narrow(1, 0, start);
    const b = upper.narrow(0, 0, start).narrow(1, start, width);
    commands.matmul(device.recorder, { math: 'f32' }, { a, b, c: sums });
    return sums;
  });
  const floats = await out.floats();
  out.dispose();
  return floats;
}

/** Columns by falling diagonal, equal ones as they lie; or as they lie. */
function columnOrder(hessian: Float32Array, k: number, byActivation: boolean): Int32Array {
  const order = Int32Array.from({ length: k }, (_, i) => i);
  const weight = (i: number) => hessian[i * k + i]!;
  return byActivation ? order.sort((a, b) => weight(b) - weight(a) || a - b) : order;
}

/** U[t, t]^2: what the squared rounding error of each column costs, given the columns behind it. */
function diagonalSquares(factor: UpperFactor, k: number, block: number): Float64Array {
  return Float64Array.from({ length: k }, (_, t) => {
    const own = factor.blocks[Math.floor(t / block)]!;
    const width = Math.round(Math.sqrt(own.length));
    const i = t % block;
    return own[i * width + i]! ** 2;
  });
}

/** tr(W H W^T), the sum of squares of W U. */
async function energy(
  device: Device,
  ordered: Float32Array,
  factor: UpperFactor,
  n: number,
  k: number,
  block: number,
): Promise<number> {
  const products = scope(() => {
    const weight = Tensor.from(device, ordered, [n, k]);
    const out = Tensor.zeros(device, [n, k]);
    factor.blocks.forEach((own, index) => {
      const start = index * block;
      const width = Math.round(Math.sqrt(own.length));
      const columns = out.narrow(1, start, width);
      const corner = Tensor.from(device, Float32Array.from(own), [width, width]);
      const { recorder } = device;
      commands.matmul(recorder, { math: 'f32' }, { a: weight.narrow(1, start, width), b: corner, c: columns });
      if (start === 0) return;
      const above = factor.upper.narrow(0, 0, start).narrow(1, start, width);
      commands.matmul(recorder, { beta: 1, math: 'f32' }, { a: weight.narrow(1, 0, start), b: above, c: columns });
    });
    return out;
  });
  const values = await products.floats();
  products.dispose();
  let total = 0;
  for (const value of values) total += value * value;
  return total;
}
