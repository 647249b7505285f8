import { commands, scope, Tensor } from '@largeforge/engine';
import { columnsInOrder, inverseOrder } from './columns.js';
import type { Preparation } from './compensate.js';
import { upperInverse } from './factor.js';

/**
 * The weight W + share * W (Y - X)^T X H^-1, f32 [N, K]: what it takes for a layer that reads X, the activations of a model
 * whose earlier layers are quantised, to give with share 1 what it gives in the original model for Y, as nearly as least
 * squares can have it. Rounding this weight instead of W keeps errors from adding up over layers (GPTAQ, Li et al. 2025, "asymmetric
 * calibration"; there the correction is spread over the columns as they are rounded, here it is made at once).
 * @param weight W f32 [N, K]; it stays the caller's
 * @param shift X^T (Y - X), f32 [K, K]
 * @param ready the factor of the damped H = X^T X of the same rows
 * @param share of the correction, 0 to 1
 */
export function correctedWeight(weight: Tensor, shift: Tensor, ready: Preparation, share: number): Tensor {
  const { device } = weight;
  const { recorder } = device;
  const { factor, order, block } = ready;
  const [n, k] = weight.shape as [number, number];
  using pull = scope(() => {
    const product = Tensor.empty(device, [n, k]);
    commands.matmul(recorder, { transB: true, math: 'f32', alpha: share }, { a: weight, b: shift, c: product });
    return product;
  });
  using solved = columnsInOrder(pull, order);
  const blocks = factor.blocks.map((own, i) => ({ own, start: i * block, size: Math.min(block, k - i * block) }));
  const multiply = (start: number, size: number, own: Float64Array, transB: boolean) => {
    const target = solved.narrow(1, start, size);
    const inverse = Tensor.from(device, Float32Array.from(upperInverse(own, size)), [size, size]);
    const product = Tensor.empty(device, [n, size]);
    commands.matmul(recorder, { transB, math: 'f32' }, { a: target, b: inverse, c: product });
    commands.copy(recorder, product, target);
  };
  const less = { math: 'f32', alpha: -1, beta: 1 } as const;
  // H = U U^T: first Z with Z U^T = pull, from the last columns to the first ...
  for (const { own, start, size } of blocks.toReversed()) {
    scope(() => {
      const [end, rest] = [start + size, k - start - size];
      if (rest > 0) {
        const operands = {
          a: solved.narrow(1, end, rest),
          b: factor.upper.narrow(0, start, size).narrow(1, end, rest),
        };
        commands.matmul(recorder, { ...less, transB: true }, { ...operands, c: solved.narrow(1, start, size) });
      }
      multiply(start, size, own, true);
    });
  }
  // ... then what times U is Z, from the first to the last.
  for (const { own, start, size } of blocks) {
    scope(() => {
      if (start > 0) {
        const operands = { a: solved.narrow(1, 0, start), b: factor.upper.narrow(0, 0, start).narrow(1, start, size) };
        commands.matmul(recorder, less, { ...operands, c: solved.narrow(1, start, size) });
      }
      multiply(start, size, own, false);
    });
  }
  const out = columnsInOrder(solved, order && inverseOrder(order));
  commands.binary(recorder, 'add', out, weight, out);
  return out;
}
