import { Linear } from '../nn/linear.js';
import type { Parameter } from '../nn/parameter.js';
import type { LinearShape } from './decoder-modules.js';
import type { Initial, WeightProvider } from './weights.js';

/** Collects the parameters and linear layers of a model while it is built. */
export class ParameterSet {
  readonly parameters = new Map<string, Parameter>();
  readonly linears = new Map<string, Linear>();
  /** Parameters that are factors of matrix products. */
  readonly matrices = new Set<Parameter>();

  constructor(private readonly weights: WeightProvider) {}

  add(name: string, shape: readonly number[], initial: Initial): Parameter {
    const parameter = this.weights.parameter(name, shape, initial);
    this.parameters.set(name, parameter);
    return parameter;
  }

  /**
   * A layer of the module `owner` with a weight [out, in] and, perhaps, a bias. `transposed` says that files have the
   * weight as [in, out].
   */
  linear(owner: string, shape: LinearShape, transposed = false): Linear {
    const name = `${owner}.${shape.name}`;
    const weight = this.weights.parameter(`${name}.weight`, [shape.out, shape.in], 'normal', transposed);
    this.parameters.set(weight.name, weight);
    this.matrices.add(weight);
    const layer = new Linear(name, weight, shape.bias ? this.add(`${name}.bias`, [shape.out], 'zeros') : undefined);
    this.linears.set(name, layer);
    return layer;
  }

  /** A matrix [out, in] that is no layer of its own. */
  matrix(name: string, out: number, input: number): Parameter {
    const weight = this.add(name, [out, input], 'normal');
    this.matrices.add(weight);
    return weight;
  }

  /** Matrices of equal shape [E, out, in]; matrix e is made of the rows of the tensors `parts[e]` of the files. */
  stack(name: string, shape: readonly [number, number, number], parts: readonly (readonly string[])[]): Parameter {
    const weight = this.weights.stack(name, shape, parts);
    this.parameters.set(name, weight);
    this.matrices.add(weight);
    return weight;
  }
}
