import { commands, scope, Tensor } from '@largeforge/engine';
import { type DeviceCodes, type GridOptions, searchOf } from './grid.js';

/**
 * Lowers tr(E H E^T) by coordinate descent, block after block of columns: the scale of each group becomes the best one for
 * its codes, then each code the best one for all others (for codes: QuantEase, Behdin et al. 2023, section 3).
 * @param weight f32 [N, K], its columns such that groups are runs
 * @param errors f32 [N, K], the weight less what its codes mean; follows the codes
 * @param square H f32 [K, K], symmetric, with a positive diagonal
 * @param block columns whose errors are carried to others at once; whole groups
 */
export function sweep(
  weight: Tensor,
  errors: Tensor,
  { codes, scales, zeros }: DeviceCodes,
  square: Tensor,
  block: number,
  options: GridOptions & { readonly sweeps: number },
): void {
  const { device } = weight;
  const { recorder } = device;
  const [n, k] = weight.shape as [number, number];
  for (let round = 0; round < options.sweeps; round++) {
    for (let start = 0; start < k; start += block) {
      const width = Math.min(block, k - start);
      scope(() => {
        const slope = Tensor.empty(device, [n, width]);
        const columns = square.narrow(1, start, width);
        commands.matmul(recorder, { math: 'f32' }, { a: errors, b: columns, c: slope });
        const groups = (t: Tensor) => t.narrow(1, start / options.groupSize, width / options.groupSize);
        commands.quantizeSweep(recorder, searchOf(options), {
          w: weight.narrow(1, start, width),
          slope,
          square: columns.narrow(0, start, width),
          scales: groups(scales),
          zeros: groups(zeros),
          codes: codes.narrow(1, start, width),
          errors: errors.narrow(1, start, width),
        });
      });
    }
  }
}
