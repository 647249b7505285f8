import { commands, type Device, scope, Tensor } from '@largeforge/engine';

/** Columns whose products are in memory at a time. */
const COLUMNS = 512;

/**
 * tr(E H E^T): the squared error of a layer's outputs on the rows whose X^T X is H, where its weight is off by E.
 * @param difference E f32 [N, K]
 * @param square H f32 [K, K], symmetric
 */
export async function quadraticForm(difference: Tensor, square: Tensor): Promise<number> {
  const { device } = difference;
  const { recorder } = device;
  const [n, k] = difference.shape as [number, number];
  const rows = scope(() => {
    const sums = Tensor.zeros(device, [n]);
    for (let start = 0; start < k; start += COLUMNS) {
      const width = Math.min(COLUMNS, k - start);
      const product = Tensor.empty(device, [n, width]);
      commands.matmul(recorder, { math: 'f32' }, { a: difference, b: square.narrow(1, start, width), c: product });
      commands.binary(recorder, 'mul', product, difference.narrow(1, start, width), product);
      commands.reduce(recorder, 'sum', product, sums, true);
    }
    return sums;
  });
  let total = 0;
  for (const value of await rows.floats()) total += value;
  rows.dispose();
  return total;
}

/** The same of a difference [N, K] on the host. */
export async function outputError(device: Device, difference: Float32Array, square: Tensor): Promise<number> {
  const k = square.shape[0]!;
  using tensor = Tensor.from(device, difference, [difference.length / k, k]);
  return await quadraticForm(tensor, square);
}
