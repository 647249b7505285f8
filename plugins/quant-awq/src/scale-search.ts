import { commands, type Device, scope, Tensor } from '@largeforge/engine';
import { type GridOptions, searchOf, spread } from '@largeforge/quantize';

export interface ScaleChoice {
  /** [channels] what weights are multiplied by. */
  readonly scales: Float32Array;
  /** Squared error of the outputs with these scales over that without any. */
  readonly gain: number;
}

/** A weight f32 [N, K] whose inputs are going to be scaled, and how it will be rounded. */
export interface ScaledWeight {
  readonly weight: Tensor;
  readonly grid: GridOptions;
}

/** Rows of each weight that candidates are judged by. */
const ROWS = 256;

/**
 * The search of AWQ (Lin et al. 2023, section 3.2): scales s = x^r of the channels' size x, and s = x^r / w^(1 - r) with w the
 * mean size of the weights as AutoAWQ has it, for ratios r from 0 to 1; those are best with which rounding W * s to the nearest
 * codes and dividing by s changes the outputs of the layers least. x is the root mean square of a channel's inputs.
 * @param square X^T X of the inputs, f32 [K, K]
 * @param place the channel of each input, [K]
 * @param steps ratios that are tried, from 0 to 1
 */
export async function searchScales(
  device: Device,
  weights: readonly ScaledWeight[],
  square: Tensor,
  place: { readonly channels: number; readonly channelOf: Int32Array },
  steps: number,
): Promise<ScaleChoice> {
  const { channels, channelOf } = place;
  const sampled = weights.map(({ weight, grid }) => ({ rows: sampleRows(weight), grid }));
  const inputs = channelMeans(await diagonal(square), place, Math.sqrt);
  const sizes = channelMeans(await relativeSizes(sampled), place, (mean) => mean);
  const candidates: Float32Array[] = [new Float32Array(channels).fill(1)];
  for (const withWeights of [false, true]) {
    for (let step = withWeights ? 0 : 1; step <= steps; step++) {
      const ratio = step / steps;
      const scaleOf = (input: number, c: number) =>
        input ** ratio / (withWeights ? (sizes[c]! + 1e-4) ** (1 - ratio) : 1);
      candidates.push(normalized(inputs.map(scaleOf)));
    }
  }
  const losses = await lossesOf(
    device,
    sampled,
    square,
    candidates.map((scales) => spread(scales, channelOf)),
  );
  for (const { rows } of sampled) rows.dispose();
  let best = 0;
  for (let i = 1; i < losses.length; i++) if (losses[i]! < losses[best]!) best = i;
  return { scales: candidates[best]!, gain: losses[0]! > 0 ? losses[best]! / losses[0]! : 1 };
}

interface SampledWeight {
  readonly rows: Tensor;
  readonly grid: GridOptions;
}

/** What rounding with each of some scales of the columns changes of the outputs, squared. */
async function lossesOf(
  device: Device,
  weights: readonly SampledWeight[],
  square: Tensor,
  candidates: readonly Float32Array[],
): Promise<Float32Array> {
  const { recorder } = device;
  const k = square.shape[0]!;
  using losses = Tensor.zeros(device, [candidates.length], 'f32', 'persistent');
  for (const [i, columns] of candidates.entries()) {
    scope(() => {
      const factors = Tensor.from(device, columns);
      const inverse = Tensor.from(
        device,
        columns.map((scale) => 1 / scale),
      );
      for (const { rows, grid } of weights) {
        const n = rows.shape[0]!;
        const [scaled, values] = [Tensor.empty(device, [n, k]), Tensor.empty(device, [n, k])];
        const codes = Tensor.empty(device, [n, k], 'u8');
        const [scales, zeros] = [0, 1].map(() => Tensor.empty(device, [n, k / grid.groupSize])) as [Tensor, Tensor];
        commands.binary(recorder, 'mul', rows, factors.view([n, k], [0, 1]), scaled);
        commands.quantizeGroups(recorder, searchOf(grid), { w: scaled, codes, scales, zeros, values });
        commands.binary(recorder, 'mul', values, inverse.view([n, k], [0, 1]), values);
        commands.binary(recorder, 'sub', values, rows, values);
        commands.matmul(recorder, { math: 'f32' }, { a: values, b: square, c: scaled });
        commands.binary(recorder, 'mul', scaled, values, scaled);
        commands.reduce(recorder, 'sum', scaled, losses.narrow(0, i, 1), true);
      }
    });
    await device.flush();
  }
  return (await losses.floats()).slice();
}

/** Some rows of a weight, as a copy. */
function sampleRows(weight: Tensor): Tensor {
  const { device } = weight;
  const [n, k] = weight.shape as [number, number];
  const count = Math.min(n, ROWS);
  const ids = Int32Array.from({ length: count }, (_, i) => Math.floor((i * n) / count));
  const rows = Tensor.empty(device, [count, k], 'f32', 'persistent');
  scope(() => commands.embedding(device.recorder, Tensor.from(device, ids), weight, rows));
  return rows;
}

async function diagonal(square: Tensor): Promise<Float32Array> {
  const k = square.shape[0]!;
  using view = square.view([k], [k + 1]);
  return (await view.floats()).slice();
}

/** Mean over rows of |w| as a share of the largest in its group, [K]. */
async function relativeSizes(weights: readonly SampledWeight[]): Promise<Float32Array> {
  const k = weights[0]!.rows.shape[1]!;
  const sums = new Float32Array(k);
  let count = 0;
  for (const { rows, grid } of weights) {
    const values = await rows.floats();
    count += rows.shape[0]!;
    for (let start = 0; start < values.length; start += grid.groupSize) {
      let most = 1e-6;
      for (let i = 0; i < grid.groupSize; i++) most = Math.max(most, Math.abs(values[start + i]!));
      for (let i = 0; i < grid.groupSize; i++) sums[(start + i) % k]! += Math.abs(values[start + i]!) / most;
    }
  }
  return sums.map((sum) => sum / count);
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
