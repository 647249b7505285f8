import * as commands from '../../device/commands/index.js';
import type { Parameter } from '../../nn/parameter.js';
import { operandsOf, RuleState, type Update, type UpdateRule } from './rule.js';

export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** AdamW with decoupled decay (Loshchilov & Hutter 2019). */
export function adamwRule(parameter: Parameter, options: AdamWOptions): UpdateRule {
  const state = new RuleState(parameter);
  const m = state.add('exp_avg');
  const v = state.add('exp_avg_sq');
  return {
    state: state.tensors,
    record: (update) =>
      commands.adamw(parameter.device.recorder, adamwParams(options, update), {
        ...operandsOf(parameter, update.scale),
        m,
        v,
      }),
    [Symbol.dispose]: () => state[Symbol.dispose](),
  };
}

export function adamwParams({ beta1, beta2, epsilon }: AdamWOptions, { step, learningRate, weightDecay }: Update) {
  return {
    learningRate,
    beta1,
    beta2,
    eps: epsilon,
    weightDecay,
    biasCorrection1: 1 - beta1 ** step,
    biasCorrection2: 1 - beta2 ** step,
  };
}
