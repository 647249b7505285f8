import { autogradErrors } from '../autograd/errors.js';
import { currentTape } from '../autograd/tape.js';
import * as commands from '../device/commands/index.js';
import { Tensor } from '../tensor/tensor.js';

/** Mean of x [T, D] over each sequence of cuSeqlens [B + 1], f32 [B, D]; `normalize` divides by the Euclidean norm. */
export function meanPool(
  x: Tensor,
  cuSeqlens: Tensor,
  { normalize = false, lengths }: { normalize?: boolean; lengths?: readonly number[] } = {},
): Tensor {
  const { device } = x;
  const sequences = cuSeqlens.shape[0]! - 1;
  const out = Tensor.empty(device, [sequences, x.shape[1]!], 'f32');
  commands.meanPool(device.recorder, { normalize }, { x, cu: cuSeqlens, out });
  const tape = currentTape();
  if (tape && x.requiresGrad) {
    if (normalize || !lengths) {
      throw autogradErrors.NOT_DIFFERENTIABLE({
        operation: 'meanPool',
        reason: normalize ? 'normalising is for inference' : 'the lengths of the sequences were not given',
      });
    }
    tape.record({
      name: 'meanPool',
      inputs: [x],
      outputs: [out],
      saved: [],
      backward(gradients) {
        // Every row of a sequence gets the sequence's gradient divided by its length.
        const owner = Int32Array.from(lengths.flatMap((length, i) => new Array<number>(length).fill(i)));
        const inverse = Tensor.from(
          device,
          lengths.map((length) => 1 / length),
          [sequences, 1],
        );
        const divided = Tensor.empty(device, out.shape, 'f32');
        const broadcast = inverse.view(out.shape, [1, 0]);
        commands.binary(device.recorder, 'mul', gradients.of(out)!, broadcast, divided);
        const dx = Tensor.empty(device, x.shape, x.dtype);
        commands.embedding(device.recorder, Tensor.from(device, owner), divided, dx);
        gradients.add(x, dx);
      },
    });
  }
  return out;
}
