import * as commands from '../device/commands/index.js';
import type { Device } from '../device/device.js';
import { elementBytes, type FloatDType } from '../device/dtype.js';
import { Tensor } from '../tensor/tensor.js';

export interface KvCacheOptions {
  readonly blocks: number;
  /** Positions per block; what the device prefers unless given. */
  readonly blockSize?: number;
  readonly dtype?: FloatDType;
}

/** What a cache needs to know of a model. */
export interface KvShape {
  readonly numLayers: number;
  readonly numKvHeads: number;
  readonly headDim: number;
}

/** Keys and values of every layer, [blocks, Hkv, blockSize, D] each. Which block belongs to whom is the caller's affair. */
export class KvCache implements Disposable {
  readonly blocks: number;
  readonly blockSize: number;
  readonly dtype: FloatDType;
  readonly keys: readonly Tensor[];
  readonly values: readonly Tensor[];

  constructor(
    readonly device: Device,
    shape: KvShape,
    { blocks, blockSize = device.properties.kvBlockSize, dtype = 'f32' }: KvCacheOptions,
  ) {
    this.blocks = blocks;
    this.blockSize = blockSize;
    this.dtype = dtype;
    // Left as it is: what was not written is never read, and untouched pages cost no memory.
    const make = () =>
      Array.from({ length: shape.numLayers }, () =>
        Tensor.empty(device, [blocks, shape.numKvHeads, blockSize, shape.headDim], dtype, 'persistent'),
      );
    this.keys = make();
    this.values = make();
  }

  /** Bytes that one block takes over all layers. */
  static blockBytes(shape: KvShape, blockSize: number, dtype: FloatDType): number {
    return 2 * shape.numLayers * shape.numKvHeads * blockSize * shape.headDim * elementBytes(dtype);
  }

  get bytes(): number {
    return [...this.keys, ...this.values].reduce((sum, tensor) => sum + tensor.bytes, 0);
  }

  /** Copies blocks onto others in every layer. */
  copyBlocks(pairs: readonly (readonly [from: number, to: number])[]): void {
    if (pairs.length === 0) return;
    using indices = Tensor.from(this.device, Int32Array.from(pairs.flat()), [pairs.length, 2]);
    this.keys.forEach((kCache, layer) => {
      commands.kvCopyBlocks(this.device.recorder, { kCache, vCache: this.values[layer]!, pairs: indices });
    });
  }

  dispose(): void {
    for (const tensor of [...this.keys, ...this.values]) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
