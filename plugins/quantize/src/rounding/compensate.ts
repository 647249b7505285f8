import { commands, type Device, type QuantizedWeight, scope, Tensor } from '@largeforge/engine';
import { quantizeErrors } from '../errors.js';
import { codesAsTheyLie, columnsInOrder, inverseOrder } from './columns.js';
import { factorUpper, type UpperFactor } from './factor.js';
import { type DeviceCodes, emptyCodes, type GridOptions, searchOf, weightOf } from './grid.js';
import { quadraticForm } from './quadratic-form.js';
import { sweep } from './sweep.js';

/** How rounding errors are made up for. */
export interface CompensationOptions extends GridOptions {
  /** Quantises the columns with the largest activations first. */
  readonly actOrder: boolean;
  /**
   * Groups are runs of columns as they lie, and their scales are fixed before the first column is rounded. Otherwise they
   * are runs of columns in the order of quantisation, and scales are found when a group's turn comes, from weights that
   * make up for the errors before it.
   */
  readonly staticGroups: boolean;
  /** Share of the mean of the Hessian's diagonal that is added to it; tenfold until it can be factored. */
  readonly damping: number;
  /**
   * Columns that are quantised before their errors are carried to all columns behind; whole groups, at least one, unless groups
   * are static and wider.
   */
  readonly blockSize: number;
  /** Sweeps of coordinate descent over scales and codes afterwards. */
  readonly sweeps: number;
}

/** A Hessian, ready for every layer that reads the same inputs. */
export interface Preparation extends Disposable {
  readonly factor: UpperFactor;
  /** The damped Hessian, f32 [K, K], with its columns such that groups are runs. */
  readonly square: Tensor;
  /** [K] columns in the order in which they are quantised, where that is not the order in which they lie. */
  readonly order: Int32Array | undefined;
  /** Columns that no activation reaches. */
  readonly dead: readonly number[];
  /** What was added to the diagonal, as a share of its mean. */
  readonly damping: number;
  readonly block: number;
}

export interface CompensationResult {
  readonly weight: QuantizedWeight;
  /**
   * Of the layer's outputs on the calibration rows, squared, over the outputs themselves: tr(E H E^T) / tr(W H W^T), with the
   * damped H.
   */
  readonly relativeError: number;
}

/**
 * Factors the Hessian of a layer's inputs.
 * @param name of a layer that reads them, for errors
 * @param hessian f32 [K, K] on the device, a multiple of X^T X; it stays the caller's
 */
export async function prepare(
  device: Device,
  name: string,
  hessian: Tensor,
  options: Pick<CompensationOptions, 'actOrder' | 'staticGroups' | 'damping' | 'groupSize' | 'blockSize'>,
): Promise<Preparation> {
  const k = hessian.shape[0]!;
  using view = hessian.view([k], [k + 1]);
  const diagonal = await view.floats();
  let mean = 0;
  for (const value of diagonal) mean += value / k;
  if (!Number.isFinite(mean)) throw quantizeErrors.LF_QUANTIZE_ACTIVATIONS({ layer: name });
  const dead = Array.from(diagonal.keys()).filter((column) => diagonal[column] === 0);
  const order = options.actOrder
    ? Int32Array.from(diagonal.keys()).sort((a, b) => diagonal[b]! - diagonal[a]! || a - b)
    : undefined;
  // The scales of static groups are there beforehand: such a group can go on in the next block.
  const block = options.staticGroups ? Math.min(options.blockSize, wholeGroups(options)) : wholeGroups(options);
  for (let damping = options.damping; damping <= 10; damping = Math.max(damping * 10, 1e-4)) {
    const added = damping * (mean || 1);
    const factor = await factorUpper(device, damped(hessian, order, added), block);
    if (!factor) continue;
    const square = damped(hessian, options.staticGroups ? undefined : order, added);
    return {
      ...{ factor, square, order, dead, damping, block },
      [Symbol.dispose]() {
        factor[Symbol.dispose]();
        square.dispose();
      },
    };
  }
  throw quantizeErrors.LF_QUANTIZE_ACTIVATIONS({ layer: name });
}

/** The columns of as many whole groups as a block has; of one at least. */
function wholeGroups({ blockSize, groupSize }: Pick<CompensationOptions, 'blockSize' | 'groupSize'>): number {
  return Math.max(1, Math.floor(blockSize / groupSize)) * groupSize;
}

/** A copy of a symmetric matrix with a number added to its diagonal, rows and columns in the given order. */
function damped(hessian: Tensor, order: Int32Array | undefined, added: number): Tensor {
  const { device } = hessian;
  const { recorder } = device;
  const k = hessian.shape[0]!;
  const copy = columnsInOrder(hessian, order);
  scope(() => {
    if (order) {
      const rows = Tensor.empty(device, [k, k]);
      commands.embedding(recorder, Tensor.from(device, order), copy, rows);
      commands.copy(recorder, rows, copy);
    }
    const diagonal = copy.view([k], [k + 1]);
    commands.binary(recorder, 'add', diagonal, Tensor.full(device, [1], added).view([k], [0]), diagonal);
  });
  return copy;
}

/**
 * GPTQ (Frantar et al. 2022) in the form of LDLQ (Chee et al. 2023, theorem 6: the same algorithm): with H = U U^T, U upper
 * triangular, column t is rounded after sum_{i<t} (w_i - q_i) U[i, t] / U[t, t] was added to it. It needs one triangular
 * factor and no inverse. Sweeps of coordinate descent may follow (see `sweep`). Everything runs on the device.
 * @param weight f32 [N, K] on the device; it stays the caller's
 */
export async function compensate(
  device: Device,
  weight: Tensor,
  ready: Preparation,
  options: CompensationOptions,
): Promise<CompensationResult> {
  const { order, dead, square } = ready;
  const [n, k] = weight.shape as [number, number];
  const groups = k / options.groupSize;
  using alive = columnsInOrder(weight, undefined);
  for (const column of dead) scope(() => commands.fill(device.recorder, 0, alive.narrow(1, column, 1)));
  using ordered = columnsInOrder(alive, order);
  using out = emptyCodes(device, n, k, groups);
  using errors = Tensor.empty(device, [n, k], 'f32', 'persistent');
  if (options.staticGroups) fixGrids(alive, ready, options, out);
  roundBlocks(ordered, errors, out, ready, options);
  // From here on, columns are such that groups are runs.
  const moved = options.staticGroups ? order : undefined;
  using own = moved ? columnsInOrder(errors, inverseOrder(moved)) : errors.retain();
  if (moved) device.write(out.codes, codesAsTheyLie((await out.codes.toArray()) as Uint8Array, moved));
  const values = moved ? alive : ordered;
  sweep(values, own, out, square, wholeGroups(options), options);
  const [lost, whole] = [await quadraticForm(own, square), await quadraticForm(values, square)];
  const relativeError = whole === 0 ? 0 : Math.max(0, lost / whole);
  if (!order || options.staticGroups) return { weight: await weightOf(out, options.bits), relativeError };
  const index = Int32Array.from(inverseOrder(order), (t) => Math.floor(t / options.groupSize));
  const inRuns = await weightOf(out, options.bits, index);
  return { weight: { ...inRuns, codes: codesAsTheyLie(inRuns.codes, order) }, relativeError };
}

/** Finds the scales of groups of columns as they lie, from weights as they are. */
function fixGrids(weight: Tensor, ready: Preparation, options: CompensationOptions, out: DeviceCodes): void {
  const { device } = weight;
  const { diagonal } = ready.factor;
  const importance = new Float32Array(diagonal.length);
  diagonal.forEach((value, t) => {
    importance[ready.order ? ready.order[t]! : t] = value ** 2;
  });
  scope(() => {
    const { codes, scales, zeros } = out;
    const target = { w: weight, importance: Tensor.from(device, importance), codes, scales, zeros };
    commands.quantizeGroups(device.recorder, searchOf(options), target);
  });
}

/** Rounds block after block of columns, in the order of quantisation. */
function roundBlocks(
  ordered: Tensor,
  errors: Tensor,
  out: DeviceCodes,
  { factor, order, block }: Preparation,
  options: CompensationOptions,
): void {
  const { device } = ordered;
  const [n, k] = ordered.shape as [number, number];
  const { groupSize, staticGroups } = options;
  const groupOf = staticGroups
    ? Int32Array.from({ length: k }, (_, t) => Math.floor((order ? order[t]! : t) / groupSize))
    : undefined;
  for (let start = 0; start < k; start += block) {
    const width = Math.min(block, k - start);
    scope(() => {
      const upper = factor.upper.narrow(1, start, width);
      const carried = start === 0 ? undefined : Tensor.empty(device, [n, width]);
      if (carried) {
        const [a, b] = [errors.narrow(1, 0, start), upper.narrow(0, 0, start)];
        commands.matmul(device.recorder, { math: 'f32' }, { a, b, c: carried });
      }
      const own = (t: Tensor) => (groupOf ? t : t.narrow(1, start / groupSize, width / groupSize));
      commands.quantizeBlock(device.recorder, searchOf(options), {
        w: ordered.narrow(1, start, width),
        ...(carried && { carried }),
        upper: upper.narrow(0, start, width),
        ...(groupOf && { columns: Tensor.from(device, groupOf.slice(start, start + width)) }),
        scales: own(out.scales),
        zeros: own(out.zeros),
        codes: out.codes.narrow(1, start, width),
        errors: errors.narrow(1, start, width),
      });
    });
  }
}
