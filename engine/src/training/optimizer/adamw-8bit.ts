import * as commands from '../../device/commands/index.js';
import { dynamicMap } from '../../nn/codes/dynamic-map.js';
import type { Parameter } from '../../nn/parameter.js';
import { unscoped } from '../../tensor/scope.js';
import { Tensor } from '../../tensor/tensor.js';
import { type AdamWOptions, adamwParams } from './adamw.js';
import { operandsOf, RuleState, type UpdateRule } from './rule.js';

/** Smaller parameters keep moments of 32 bits, as in bitsandbytes. */
export const smallest8bit = 4096;
const block = 256;

/** AdamW with moments of 8 bits, each block of 256 elements scaled by its largest (Dettmers et al. 2022). */
export function adamw8bitRule(parameter: Parameter, options: AdamWOptions): UpdateRule {
  const { device, shape, elements } = parameter;
  const state = new RuleState(parameter);
  const blocks = Math.ceil(elements / block);
  const moment = (name: string, signed: boolean) => {
    const codes = state.add(`${name}.codes`, shape, 'u8');
    const absmax = state.add(`${name}.absmax`, [blocks]);
    const values = dynamicMap(signed);
    const map = unscoped(() => Tensor.from(device, values, [256], 'f32', 'persistent'));
    // No moment yet: the code whose value is 0.
    const zero = unscoped(() => Tensor.from(device, new Uint8Array(elements).fill(values.indexOf(0)), shape));
    commands.copy(device.recorder, zero, codes);
    zero.dispose();
    return { codes, absmax, map };
  };
  const m = moment('exp_avg', true);
  const v = moment('exp_avg_sq', false);
  return {
    state: state.tensors,
    record: (update) =>
      commands.adamw8bit(device.recorder, adamwParams(options, update), {
        ...operandsOf(parameter, update.scale),
        m,
        v,
      }),
    [Symbol.dispose]: () => {
      m.map.dispose();
      v.map.dispose();
      state[Symbol.dispose]();
    },
  };
}
