import * as commands from '../device/commands/index.js';
import type { Device } from '../device/device.js';
import { elementBytes, type FloatDType } from '../device/dtype.js';
import type { Operand } from '../device/recorder.js';
import { Tensor } from '../tensor/tensor.js';

/** How keys and values are kept: as floats, or in 8 bits with a scale for each position and head. */
export type KvCacheType = FloatDType | 'i8';

export interface KvCacheOptions {
  readonly blocks: number;
  /** Positions per block; what the device prefers unless given. */
  readonly blockSize?: number;
  readonly dtype?: KvCacheType;
}

/** What a cache needs to know of a model. */
export interface KvShape {
  readonly numLayers: number;
  readonly numKvHeads: number;
  readonly headDim: number;
}

/** Keys and values of one layer [blocks, Hkv, blockSize, D]; of 8 bits with their scales f32 [blocks, Hkv, blockSize]. */
export interface CacheLayer {
  readonly kCache: Operand;
  readonly vCache: Operand;
  readonly kScale?: Operand;
  readonly vScale?: Operand;
}

/**
 * Keys and values of every layer. Which block belongs to whom is the caller's affair. What all layers hold of a block lies
 * side by side, so that a sequence touches the memory of its own blocks and, in large pages, of hardly any other.
 */
export class KvCache implements Disposable {
  readonly blocks: number;
  readonly blockSize: number;
  readonly dtype: KvCacheType;
  /** [blocks, what a block holds: of each layer the keys, then the values, Hkv * blockSize * D each] */
  readonly elements: Tensor;
  /** The same of scales, Hkv * blockSize each; of a cache in 8 bits alone. */
  readonly scales: Tensor | undefined;
  private readonly layers: readonly CacheLayer[];

  constructor(
    readonly device: Device,
    private readonly shape: KvShape,
    { blocks, blockSize = device.properties.kvBlockSize, dtype = 'f32' }: KvCacheOptions,
  ) {
    this.blocks = blocks;
    this.blockSize = blockSize;
    this.dtype = dtype;
    const rows = 2 * shape.numLayers * shape.numKvHeads * blockSize;
    // Left as it is: what was not written is never read, and untouched pages cost no memory.
    this.elements = Tensor.empty(device, [blocks, rows * shape.headDim], dtype, 'persistent');
    this.scales = dtype === 'i8' ? Tensor.empty(device, [blocks, rows], 'f32', 'persistent') : undefined;
    this.layers = Array.from({ length: shape.numLayers }, (_, index) => this.operands(index));
  }

  /** Bytes that one block takes over all layers. */
  static blockBytes(shape: KvShape, blockSize: number, dtype: KvCacheType): number {
    const row = shape.headDim * elementBytes(dtype) + (dtype === 'i8' ? elementBytes('f32') : 0);
    return 2 * shape.numLayers * shape.numKvHeads * blockSize * row;
  }

  get bytes(): number {
    return this.elements.bytes + (this.scales?.bytes ?? 0);
  }

  /** What commands of a layer take. */
  layer(index: number): CacheLayer {
    return this.layers[index]!;
  }

  /** Copies blocks onto others in every layer. */
  copyBlocks(pairs: readonly (readonly [from: number, to: number])[]): void {
    if (pairs.length === 0) return;
    using indices = Tensor.from(this.device, Int32Array.from(pairs.flat()), [pairs.length, 2]);
    for (const layer of this.layers) commands.kvCopyBlocks(this.device.recorder, { ...layer, pairs: indices });
  }

  dispose(): void {
    this.elements.dispose();
    this.scales?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  private operands(layer: number): CacheLayer {
    const { elements, scales, blockSize } = this;
    const rows = [blockSize, this.shape.headDim];
    const scale = (which: number) => scales && this.part(scales, 2 * layer + which, [blockSize]);
    return {
      kCache: this.part(elements, 2 * layer, rows),
      vCache: this.part(elements, 2 * layer + 1, rows),
      kScale: scale(0),
      vScale: scale(1),
    };
  }

  /** [blocks, Hkv, ...rows] of what every block holds at place `index`. */
  private part(tensor: Tensor, index: number, rows: readonly number[]): Operand {
    const shape = [this.shape.numKvHeads, ...rows];
    const strides = shape.map((_, i) => shape.slice(i + 1).reduce((product, extent) => product * extent, 1));
    const elements = shape[0]! * strides[0]!;
    return {
      buffer: tensor.buffer,
      byteOffset: tensor.byteOffset + index * elements * elementBytes(tensor.dtype),
      dtype: tensor.dtype,
      layout: 'strided',
      shape: [this.blocks, ...shape],
      strides: [2 * this.shape.numLayers * elements, ...strides],
    };
  }
}
