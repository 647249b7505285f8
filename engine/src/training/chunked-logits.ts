import { currentTape, Tape, withTape } from '../autograd/tape.js';
import * as commands from '../device/commands/index.js';
import type { CausalLanguageModel } from '../models/model.js';
import { scope } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';

/** Bytes of a chunk's logits, f32. */
const chunkBytes = 48 * 2 ** 20;

/** Rows of a chunk. */
export interface RowRange {
  readonly from: number;
  readonly count: number;
}

/**
 * A loss of the head's logits, a chunk of rows at a time: the logits of all rows never exist at once. Their gradient is
 * computed with the loss, and the products of the backward pass run chunk by chunk.
 * @param hidden final-norm hidden states [R, hiddenSize]
 * @param lossOf gets the logits f32 [count, vocabSize] of a chunk, replaces them by their gradient, and returns the
 *   chunk's losses f32 [count]
 * @returns the losses f32 [R]; on the tape they are a root: they bring their gradient with them
 */
export function chunkedLogitLoss(
  model: CausalLanguageModel,
  hidden: Tensor,
  lossOf: (logits: Tensor, rows: RowRange) => Tensor,
): Tensor {
  const { device } = hidden;
  const { recorder } = device;
  const rows = hidden.shape[0] as number;
  const chunk = Math.max(1, Math.floor(chunkBytes / (4 * model.config.vocabSize)));
  const tape = currentTape();
  const losses = Tensor.empty(device, [rows], 'f32');
  const gradient = tape && hidden.requiresGrad ? Tensor.empty(device, hidden.shape, hidden.dtype) : undefined;
  for (let from = 0; from < rows; from += chunk) {
    const count = Math.min(chunk, rows - from);
    scope(() => {
      using chunkTape = new Tape();
      const leaf = hidden.narrow(0, from, count);
      leaf.requiresGrad = gradient !== undefined;
      const logits = withTape(chunkTape, () => model.logits(leaf));
      commands.copy(recorder, lossOf(logits, { from, count }), losses.narrow(0, from, count));
      chunkTape.backward({ tensor: logits, gradient: logits });
      if (!gradient || !leaf.grad) return;
      commands.copy(recorder, leaf.grad, gradient.narrow(0, from, count));
      leaf.grad.dispose();
    });
  }
  if (gradient) {
    tape?.record({
      name: 'chunkedLogitLoss',
      inputs: [hidden],
      outputs: [losses],
      saved: [gradient],
      root: true,
      backward: (gradients, [saved]) => gradients.add(hidden, saved as Tensor),
    });
    gradient.dispose();
  }
  return losses;
}
