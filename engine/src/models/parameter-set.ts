import { Linear } from '../nn/linear.js';
import type { Parameter } from '../nn/parameter.js';
import type { Initial, WeightProvider } from './weights.js';

/** Collects the parameters and linear layers of a model while it is built. */
export class ParameterSet {
  readonly parameters = new Map<string, Parameter>();
  readonly linears = new Map<string, Linear>();

  constructor(private readonly weights: WeightProvider) {}

  add(name: string, shape: readonly number[], initial: Initial): Parameter {
    const parameter = this.weights.parameter(name, shape, initial);
    this.parameters.set(name, parameter);
    return parameter;
  }

  /** A layer `name` with `name.weight` [out, in] and, perhaps, `name.bias`. */
  linear(name: string, out: number, input: number, bias: boolean): Linear {
    const weight = this.add(`${name}.weight`, [out, input], 'normal');
    const layer = new Linear(name, weight, bias ? this.add(`${name}.bias`, [out], 'zeros') : undefined);
    this.linears.set(name, layer);
    return layer;
  }
}
