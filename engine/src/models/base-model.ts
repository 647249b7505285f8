import type { Device } from '../device/device.js';
import type { FloatDType } from '../device/dtype.js';
import type { LayoutKind } from '../device/opcodes.js';
import type { Linear } from '../nn/linear.js';
import type { Parameter } from '../nn/parameter.js';
import { modelErrors } from './errors.js';
import { adapterParameters } from './lora/parameters.js';
import type { ParameterSet } from './parameter-set.js';

/** What decoders and encoders have in common: their parameters and layers. */
export abstract class BaseModel implements Disposable {
  readonly linears: ReadonlyMap<string, Linear>;
  private readonly named: Map<string, Parameter>;
  private readonly matrices: ReadonlySet<Parameter>;

  protected constructor(
    readonly device: Device,
    readonly dtype: FloatDType,
    set: ParameterSet,
  ) {
    this.named = set.parameters;
    this.linears = set.linears;
    this.matrices = set.matrices;
  }

  parameters(): Map<string, Parameter> {
    return new Map(this.named);
  }

  trainableParameters(): Map<string, Parameter> {
    const all = [...this.named, ...adapterParameters(this.linears)];
    return new Map(all.filter(([, parameter]) => parameter.trainable));
  }

  setTrainable(on: boolean): void {
    for (const parameter of this.named.values()) parameter.trainable = on;
  }

  zeroGrad(): void {
    for (const parameter of this.trainableParameters().values()) parameter.zeroGrad();
  }

  /** Throws LF_ENGINE_MODEL_TOO_LARGE when the layouts would not fit: before anything is read. */
  prepare({ backward = false }: { backward?: boolean } = {}): void {
    const layouts: LayoutKind[] = backward ? ['packedForward', 'packedBackward'] : ['packedForward'];
    const needed = [...this.matrices].reduce((sum, parameter) => sum + parameter.missingBytes(layouts), 0);
    const { free } = this.device.memory();
    if (needed > free) {
      throw modelErrors.MODEL_TOO_LARGE({ parameters: this.elements(), needed, free });
    }
    for (const parameter of this.named.values()) {
      if (this.matrices.has(parameter)) {
        parameter.giveBack(parameter.forLinear().w);
        if (backward) parameter.giveBack(parameter.backward());
      } else if (parameter.shape.length === 1) parameter.value();
      else parameter.table();
    }
  }

  private elements(): number {
    return [...this.named.values()].reduce((sum, parameter) => sum + parameter.elements, 0);
  }

  dispose(): void {
    for (const parameter of this.named.values()) parameter.dispose();
    for (const [, parameter] of adapterParameters(this.linears)) parameter.dispose();
    for (const { served, adapter } of this.linears.values()) {
      adapter?.dora?.rowSquares.dispose();
      served?.a.dispose();
      served?.b.dispose();
    }
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
