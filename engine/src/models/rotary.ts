import * as commands from '../device/commands/index.js';
import type { Device } from '../device/device.js';
import { scope, unscoped } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import { frequencyLength, inverseFrequencies, type RopeConfig, ropeScale } from './rope.js';

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

  /**
   * Inverse frequencies for sequences of these lengths, whose rows begin at `cuSeqlens`: [dimensions / 2], or one row for
   * each of the batch where sequences differ. What a sequence gets does not depend on the others.
   */
  frequencies(lengths: readonly number[], cuSeqlens: Int32Array): Tensor {
    const keys = lengths.map((length) => frequencyLength(this.config, length));
    const distinct = [...new Set(keys)];
    if (distinct.length <= 1) return this.table(distinct[0] ?? 0);
    const own = new Int32Array(cuSeqlens.at(-1)!);
    keys.forEach((key, b) => void own.fill(distinct.indexOf(key), cuSeqlens[b], cuSeqlens[b + 1]));
    return scope(() => {
      const values = distinct.map((key) => inverseFrequencies(this.config, key));
      const columns = values[0]!.length;
      const all = Tensor.from(this.device, Float32Array.from(values.flatMap((row) => [...row])), [
        values.length,
        columns,
      ]);
      const rows = Tensor.empty(this.device, [own.length, columns]);
      commands.embedding(this.device.recorder, Tensor.from(this.device, own), all, rows);
      return rows;
    });
  }

  private table(key: number): Tensor {
    let table = this.tables.get(key);
    if (!table) {
      for (const [old, tensor] of this.tables) {
        if (this.tables.size < 8) break;
        tensor.dispose();
        this.tables.delete(old);
      }
      const values = inverseFrequencies(this.config, key);
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
