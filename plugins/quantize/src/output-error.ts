import { commands, type Device, scope, Tensor } from '@largeforge/engine';

/**
 * tr(E H E^T): the squared error of a layer's outputs on the rows whose X^T X is H, where its weight is off by E.
 * @param difference E [N, K], on the host
 * @param square H f32 [K, K], on the device
 */
export async function outputError(device: Device, difference: Float32Array, square: Tensor): Promise<number> {
  const k = square.shape[0]!;
  const n = difference.length / k;
  const product = scope(() => {
    const a = Tensor.from(device, difference, [n, k]);
    const c = Tensor.empty(device, [n, k]);
    commands.matmul(device.recorder, { math: 'f32' }, { a, b: square, c });
    return c;
  });
  const values = await product.floats();
  product.dispose();
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i]! * difference[i]!;
  return total;
}
