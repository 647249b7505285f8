import { currentTape } from '../autograd/tape.js';
import * as commands from '../device/commands/index.js';
import type { FloatDType } from '../device/dtype.js';
import type { Parameter } from '../nn/parameter.js';
import { Tensor } from '../tensor/tensor.js';

export interface Lookup {
  /** i32 [T] */
  readonly ids: Tensor;
  /** [V, D] */
  readonly table: Parameter;
}

/** The sum over lookups of scale * table[ids], [T, D]. */
export function embedding(
  lookups: readonly [Lookup, ...Lookup[]],
  { scale = 1, dtype = 'f32' }: { scale?: number; dtype?: FloatDType } = {},
): Tensor {
  const [{ ids: first, table: firstTable }] = lookups;
  const { device } = first;
  const out = Tensor.empty(device, [first.shape[0]!, firstTable.shape[1]!], dtype);
  lookups.forEach(({ ids, table }, i) => {
    commands.embedding(device.recorder, ids, table.table(), out, scale, i > 0);
  });
  const tape = currentTape();
  if (tape && lookups.some(({ table }) => table.trainable)) {
    tape.record({
      name: `embedding ${firstTable.name}`,
      inputs: [],
      outputs: [out],
      saved: lookups.map(({ ids }) => ids),
      backward(gradients, saved) {
        const dout = gradients.of(out)!;
        lookups.forEach(({ table }, i) => {
          if (table.trainable) {
            commands.embeddingBackward(device.recorder, saved[i]!, dout, table.gradientToAdd(), scale);
          }
        });
      },
    });
  }
  return out;
}

/** Rows of x [T, D] at ids i32 [R], [R, D]. */
export function gatherRows(x: Tensor, ids: Tensor): Tensor {
  const { device } = x;
  const out = Tensor.empty(device, [ids.shape[0]!, x.shape[1]!], x.dtype);
  commands.embedding(device.recorder, ids, x, out);
  const tape = currentTape();
  if (tape && x.requiresGrad) {
    tape.record({
      name: 'gatherRows',
      inputs: [x],
      outputs: [out],
      saved: [ids],
      backward(gradients, [savedIds]) {
        const dx = Tensor.zeros(device, x.shape, 'f32');
        commands.embeddingBackward(device.recorder, savedIds!, gradients.of(out)!, dx);
        gradients.add(x, dx);
      },
    });
  }
  return out;
}
