import { commands, defineTokenLoss, Tensor, type TokenLossInput, withoutTape } from '@largeforge/engine';
import { z } from 'zod';

/**
 * Focal loss (Lin et al. 2017, arXiv:1708.02002): (1 - p)^gamma * -log p, where p is the probability of the target. What the
 * model is sure of hardly counts; it learns from what it still gets wrong. A gamma of 0 is cross-entropy.
 */
export const focalLoss = defineTokenLoss({
  options: z.strictObject({
    gamma: z.int().min(0).max(8).default(2).describe('how little the sure targets count'),
  }),
  create: ({ gamma }) => ({
    compute(input) {
      const { values, slope } = withoutTape(() => measure(input, gamma));
      // The chain rule: the gradient of the focal loss is that of the cross-entropy, each row times its slope. The fused
      // op computes it without the logits.
      input.crossEntropy({ gradScale: input.scale, rowWeight: slope });
      return { values, fused: true, metrics: { 'focal weight': slope } };
    },
  }),
});

/**
 * With L = -log p [T]: the loss (1 - p)^gamma L, and its derivative by L, (1 - p)^gamma + gamma p (1 - p)^(gamma - 1) L. Rows
 * without a target have L = 0 there, and so no loss; the fused op leaves out their gradient.
 */
function measure(input: TokenLossInput, gamma: number): { values: Tensor; slope: Tensor } {
  const { hidden, crossEntropy } = input;
  const { device } = hidden;
  const { recorder } = device;
  const { nll } = crossEntropy();
  const like = () => Tensor.empty(device, nll.shape, 'f32');
  const one = Tensor.full(device, nll.shape, 1);
  const product = (a: Tensor, b: Tensor) => {
    const out = like();
    commands.binary(recorder, 'mul', a, b, out);
    return out;
  };

  const p = like();
  const negative = like();
  commands.unary(recorder, 'neg', nll, negative);
  commands.unary(recorder, 'exp', negative, p);
  const miss = like();
  commands.binary(recorder, 'sub', one, p, miss);

  /** (1 - p)^exponent */
  const power = (exponent: number) => {
    let result = one;
    for (let i = 0; i < exponent; i++) result = product(result, miss);
    return result;
  };
  const weight = power(gamma);
  const values = product(weight, nll);
  if (gamma === 0) return { values, slope: weight };
  const slope = like();
  commands.binary(recorder, 'add', weight, product(product(p, power(gamma - 1)), nll), slope, 1, gamma);
  return { values, slope };
}
