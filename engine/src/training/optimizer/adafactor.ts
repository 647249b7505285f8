import * as commands from '../../device/commands/index.js';
import type { Parameter } from '../../nn/parameter.js';
import { operandsOf, RuleState, type UpdateRule } from './rule.js';

/**
 * Adafactor (Shazeer & Stern 2018) as transformers' Trainer sets it up: the schedule's rate instead of a relative one, no
 * first moment, beta2 = 1 - step^-0.8, updates clipped to a root mean square of 1. A matrix of R rows and C columns keeps
 * R + C numbers.
 */
export function adafactorRule(parameter: Parameter): UpdateRule {
  const { shape } = parameter;
  const state = new RuleState(parameter);
  const factored = shape.length === 2;
  const row = factored ? state.add('exp_avg_sq_row', [shape[0] as number]) : state.add('exp_avg_sq');
  const column = factored ? state.add('exp_avg_sq_col', [shape[1] as number]) : undefined;
  return {
    state: state.tensors,
    record: ({ step, learningRate, weightDecay, scale }) =>
      commands.adafactor(
        parameter.device.recorder,
        { learningRate, beta2: 1 - step ** -0.8, eps: 1e-30, threshold: 1, weightDecay },
        { ...operandsOf(parameter, scale), row, column },
      ),
    [Symbol.dispose]: () => state[Symbol.dispose](),
  };
}
