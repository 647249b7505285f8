import { scope } from '../tensor/scope.js';
import type { Tensor } from '../tensor/tensor.js';
import { currentTape, Tape, withoutTape, withTape } from './tape.js';

/** State of random numbers that a recomputation must see again. */
export interface Replayable<S> {
  save(): S;
  restore(state: S): void;
}

/**
 * Runs `fn` on `inputs` and keeps nothing but the inputs: the backward pass runs it again (Chen et al. 2016, "Training
 * deep nets with sublinear memory cost"). `random`, when given, is put back for the second run and then left as it was,
 * so that dropout is the same. `tracked` says that parameters inside want gradients even where no input does.
 */
export function checkpoint<S>(
  fn: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  { random, tracked = true }: { random?: Replayable<S>; tracked?: boolean } = {},
): Tensor {
  const tape = currentTape();
  if (!tape || !(tracked || inputs.some((t) => t.requiresGrad))) return scope(() => fn(...inputs));
  const before = random?.save();
  const output = scope(() => withoutTape(() => fn(...inputs)));
  tape.record({
    name: 'checkpoint',
    inputs,
    outputs: [output],
    saved: inputs,
    backward(gradients, saved) {
      const gradient = gradients.of(output)!;
      const after = random?.save();
      if (random) random.restore(before as S);
      using inner = new Tape();
      // Fresh handles: their gradients are collected as those of leaves, not confused with the outer tape's values.
      const leaves = saved.map((tensor, i) => {
        const leaf = tensor.renamed();
        leaf.requiresGrad = inputs[i]!.requiresGrad;
        return leaf;
      });
      const again = scope(() => withTape(inner, () => fn(...leaves)));
      if (random) random.restore(after as S);
      inner.backward({ tensor: again, gradient });
      leaves.forEach((leaf, i) => {
        if (!leaf.grad) return;
        gradients.add(inputs[i]!, leaf.grad);
        leaf.grad.dispose();
      });
    },
  });
  return output;
}
