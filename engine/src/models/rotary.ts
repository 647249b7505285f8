import type { Device } from '../device/device.js';
import { unscoped } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import { inverseFrequencies, type RopeConfig, type RopeScaling, ropeScale } from './rope.js';

/** Frequencies of a model's rotation on the device, kept from one batch to the next. */
export class Rotary implements Disposable {
  readonly interleaved: boolean;
  readonly scale: number;
  private readonly tables = new Map<number, Tensor>();

  constructor(
    private readonly device: Device,
    private readonly config: RopeConfig,
  ) {
    this.interleaved = config.interleaved;
    this.scale = ropeScale(config);
  }

  /** Inverse frequencies for a batch whose longest sequence has `length` positions. */
  frequencies(length: number): Tensor {
    const { scaling } = this.config;
    const key = lengthThatCounts(scaling, length);
    let table = this.tables.get(key);
    if (!table) {
      for (const [old, tensor] of this.tables) {
        if (this.tables.size < 8) break;
        tensor.dispose();
        this.tables.delete(old);
      }
      const values = inverseFrequencies(this.config, length);
      table = unscoped(() => Tensor.from(this.device, values, [values.length], 'f32', 'persistent'));
      this.tables.set(key, table);
    }
    return table;
  }

  dispose(): void {
    for (const tensor of this.tables.values()) tensor.dispose();
    this.tables.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The same for all lengths that have the same frequencies. */
function lengthThatCounts(scaling: RopeScaling, length: number): number {
  // Both kinds depend on the length only beyond the trained context, and longrope only on whether it is beyond.
  if (scaling.type === 'dynamic') return Math.max(length, scaling.maxPositions);
  return scaling.type === 'longrope' && length > scaling.originalPositions ? 1 : 0;
}
