import type { RandomKeys } from '../autograd/random.js';
import { withoutTape } from '../autograd/tape.js';
import * as commands from '../device/commands/index.js';
import type { Tensor } from '../tensor/tensor.js';

/** Adds NEFTune's noise to embeddings [T, D], in place: uniform, its magnitude alpha / sqrt(length * D) per sequence. */
export function addNoise(
  embedded: Tensor,
  cuSeqlens: Int32Array,
  { alpha, keys }: { alpha: number; keys: RandomKeys },
): void {
  withoutTape(() => {
    for (let b = 0; b + 1 < cuSeqlens.length; b++) {
      const start = cuSeqlens[b]!;
      const length = cuSeqlens[b + 1]! - start;
      if (length === 0) continue;
      const magnitude = alpha / Math.sqrt(length * embedded.shape[1]!);
      using rows = embedded.narrow(0, start, length);
      commands.random(embedded.device.recorder, 'uniform', -magnitude, magnitude, keys.next(), rows, true);
    }
  });
}
