import type { Device, Tensor } from '@largeforge/engine';
import { type GridOptions, outputError, roundToNearest } from '@largeforge/quantize';

/** A weight [N, K] whose inputs are going to be scaled. */
export interface ScaledWeight {
  readonly values: Float32Array;
  readonly outFeatures: number;
}

export interface ScaleChoice {
  /** [channels] what weights are multiplied by. */
  readonly scales: Float32Array;
  /** Squared error of the outputs with these scales over that without any. */
  readonly gain: number;
}

export interface ScaleSearchOptions extends GridOptions {
  readonly groupSize: number;
  /** Ratios that are tried, from 0 to 1. */
  readonly steps: number;
}

/** Rows of each weight that candidates are judged by. */
const ROWS = 256;

/**
 * The search of AWQ (Lin et al. 2023, section 3.2): scales s = x^r of the channels' size x, and s = x^r / w^(1 - r) with w the
 * mean size of the weights as AutoAWQ has it, for ratios r from 0 to 1; those are best with which rounding W * s to the nearest
 * codes and dividing by s changes the outputs of the layers least. x is the root mean square of a channel's inputs.
 * @param square X^T X of the inputs, f32 [K, K]
 * @param channelOf [K] the channel of each input
 */
export async function searchScales(
  device: Device,
  weights: readonly ScaledWeight[],
  square: Tensor,
  place: { readonly channels: number; readonly channelOf: Int32Array },
  options: ScaleSearchOptions,
): Promise<ScaleChoice> {
  const { channels, channelOf } = place;
  const k = channelOf.length;
  const sampled = weights.map(({ values, outFeatures }) => sampleRows(values, outFeatures, k));
  const inputs = channelMeans(await diagonal(square), place, Math.sqrt);
  const sizes = channelMeans(relativeSizes(sampled, k, options.groupSize), place, (mean) => mean);
  const plain = await loss(device, sampled, square, new Float32Array(k).fill(1), options);
  let best: ScaleChoice = { scales: new Float32Array(channels).fill(1), gain: 1 };
  if (!(plain > 0)) return best;
  for (const withWeights of [false, true]) {
    for (let step = withWeights ? 0 : 1; step <= options.steps; step++) {
      const ratio = step / options.steps;
      const scales = normalized(
        inputs.map((input, c) => input ** ratio / (withWeights ? (sizes[c]! + 1e-4) ** (1 - ratio) : 1)),
      );
      const own = await loss(
        device,
        sampled,
        square,
        channelOf.length === channels ? scales : spread(scales, channelOf),
        options,
      );
      if (own / plain < best.gain) best = { scales, gain: own / plain };
    }
  }
  return best;
}

/** [K] of [channels]. */
export function spread(scales: Float32Array, channelOf: Int32Array): Float32Array {
  return Float32Array.from(channelOf, (channel) => scales[channel]!);
}

async function loss(
  device: Device,
  weights: readonly Float32Array[],
  square: Tensor,
  scales: Float32Array,
  options: ScaleSearchOptions,
): Promise<number> {
  const k = scales.length;
  let total = 0;
  for (const values of weights) {
    const scaled = values.map((value, i) => value * scales[i % k]!);
    const { codes, scales: steps, zeros, groups } = roundToNearest(scaled, k, options.groupSize, options);
    const difference = values.map((value, i) => {
      const column = i % k;
      const at = ((i - column) / k) * groups + Math.floor(column / options.groupSize);
      return ((codes[i]! - zeros[at]!) * steps[at]!) / scales[column]! - value;
    });
    total += await outputError(device, difference, square);
  }
  return total;
}

function sampleRows(values: Float32Array, n: number, k: number): Float32Array {
  if (n <= ROWS) return values;
  const out = new Float32Array(ROWS * k);
  for (let i = 0; i < ROWS; i++) {
    const row = Math.floor((i * n) / ROWS);
    out.set(values.subarray(row * k, (row + 1) * k), i * k);
  }
  return out;
}

async function diagonal(square: Tensor): Promise<Float32Array> {
  const k = square.shape[0]!;
  using view = square.view([k], [k + 1]);
  return (await view.floats()).slice();
}

/** Mean over rows of |w| as a share of the largest in its group, [K]. */
function relativeSizes(weights: readonly Float32Array[], k: number, groupSize: number): Float32Array {
  const sums = new Float32Array(k);
  let rows = 0;
  for (const values of weights) {
    rows += values.length / k;
    for (let start = 0; start < values.length; start += groupSize) {
      let most = 1e-6;
      for (let i = 0; i < groupSize; i++) most = Math.max(most, Math.abs(values[start + i]!));
      for (let i = 0; i < groupSize; i++) sums[(start + i) % k]! += Math.abs(values[start + i]!) / most;
    }
  }
  return sums.map((sum) => sum / rows);
}

function channelMeans(
  values: Float32Array,
  { channels, channelOf }: { readonly channels: number; readonly channelOf: Int32Array },
  finish: (mean: number) => number,
): Float32Array {
  const sums = new Float64Array(channels);
  const counts = new Float64Array(channels);
  channelOf.forEach((channel, i) => {
    sums[channel]! += values[i]!;
    counts[channel]!++;
  });
  return Float32Array.from(sums, (sum, c) => Math.max(1e-8, finish(sum / counts[c]!)));
}

/** Scales whose smallest and largest are each other's inverse; at least 1e-4. */
function normalized(scales: Float32Array): Float32Array {
  let [low, high] = [Number.POSITIVE_INFINITY, 0];
  for (const scale of scales) {
    low = Math.min(low, scale);
    high = Math.max(high, scale);
  }
  const middle = Math.sqrt(low * high);
  return scales.map((scale) => Math.max(1e-4, scale / middle));
}
