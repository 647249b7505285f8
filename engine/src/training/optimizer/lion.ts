import * as commands from '../../device/commands/index.js';
import type { Parameter } from '../../nn/parameter.js';
import { operandsOf, RuleState, type UpdateRule } from './rule.js';

/** Lion (Chen et al. 2023, "Symbolic discovery of optimization algorithms"): the sign of a momentum. */
export function lionRule(parameter: Parameter, { beta1, beta2 }: { beta1: number; beta2: number }): UpdateRule {
  const state = new RuleState(parameter);
  const m = state.add('exp_avg');
  return {
    state: state.tensors,
    record: ({ learningRate, weightDecay, scale }) =>
      commands.lion(
        parameter.device.recorder,
        { learningRate, beta1, beta2, weightDecay },
        { ...operandsOf(parameter, scale), m },
      ),
    [Symbol.dispose]: () => state[Symbol.dispose](),
  };
}
