import { commands, scope, Tensor } from '@largeforge/engine';

/** A new f32 tensor [N, K] whose column t is column order[t] of a matrix; a copy without an order. */
export function columnsInOrder(matrix: Tensor, order: Int32Array | undefined): Tensor {
  const { device } = matrix;
  const { recorder } = device;
  const [n, k] = matrix.shape as [number, number];
  const out = Tensor.empty(device, [n, k], 'f32', 'persistent');
  scope(() => {
    if (!order) return commands.copy(recorder, matrix, out);
    const turned = Tensor.empty(device, [k, n]);
    const [rowStride, columnStride] = matrix.strides as [number, number];
    commands.embedding(recorder, Tensor.from(device, order), matrix.view([k, n], [columnStride, rowStride]), turned);
    commands.copy(recorder, turned.view([n, k], [1, n]), out);
  });
  return out;
}

/** The order that undoes one. */
export function inverseOrder(order: Int32Array): Int32Array {
  const inverse = new Int32Array(order.length);
  order.forEach((column, t) => {
    inverse[column] = t;
  });
  return inverse;
}

/** Codes whose column order[t] is column t of those given. */
export function codesAsTheyLie(codes: Uint8Array, order: Int32Array): Uint8Array {
  const k = order.length;
  const out = new Uint8Array(codes.length);
  for (let row = 0; row < codes.length; row += k) {
    for (let t = 0; t < k; t++) out[row + order[t]!] = codes[row + t]!;
  }
  return out;
}
