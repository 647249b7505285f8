import * as commands from '../device/commands/index.js';
import type { Device } from '../device/device.js';
import { type DType, elementBytes, type FloatDType, isBlockFormat } from '../device/dtype.js';
import type { LayoutKind } from '../device/opcodes.js';
import { unscoped } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import type { FrozenCodes } from './codes/frozen-codes.js';

/** Where the stored values of a parameter come from, again and again: usually a range of a file. */
export interface WeightSource {
  /**
   * The values as stored, in whatever format, as a tensor of the parameter's shape that the caller disposes. A persistent
   * one is the caller's alone and may be kept.
   */
  open(): Tensor;
  /** Whether `open` gives the stored bytes themselves, without work: then the source serves as an embedding table. */
  readonly direct: boolean;
  /** The values in the codes that the files have; undefined where they are no codes, or none that can be kept. */
  codes?(): FrozenCodes | undefined;
  /** The block format that `open` gives, and how many elements of q4_z share a scale; undefined when it gives floats. */
  readonly blocks?: () => { readonly dtype: DType; readonly group: number } | undefined;
  /**
   * Of a matrix whose groups are not runs of neighbouring columns: the same with its columns in another order, in which they
   * are, in blocks. Undefined when there is none, or it has no need of one.
   */
  readonly reordered?: () => ReorderedSource | undefined;
}

/** A matrix with its columns in another order. */
export interface ReorderedSource {
  readonly source: WeightSource;
  /** [K] the column of the matrix that each of `source` is. */
  readonly order: Int32Array;
}

/** What a linear layer multiplies its input by. */
export interface LinearWeight {
  /** [N, K] */
  readonly w: Tensor;
  /** i32 [K], where columns are in another order: which column of the input meets each column of `w`. */
  readonly order?: Tensor;
}

/**
 * A weight of a model under its Hugging Face name. A frozen matrix is kept in the layouts that the backend prefers; they
 * are made when first needed. A trainable one is an f32 master, and a copy in the compute precision when that differs.
 */
export class Parameter implements Disposable {
  /** Gradient, f32, once a backward pass has reached the parameter since `zeroGrad`. */
  private gradientBuffer: Tensor | undefined;
  private gradientFresh = true;
  /** Values that are the parameter's own, rather than a file's: f32 while trainable. */
  private held: Tensor | undefined;
  private strided: Tensor | undefined;
  private directTable: Tensor | undefined;
  private readonly packed = new Map<LayoutKind, Tensor>();
  private training = false;
  /** The values of a frozen matrix in codes, in place of any other form. */
  private coded: FrozenCodes | undefined;
  /** The matrix packed with its columns in another order. */
  private reordered: { readonly w: Tensor; readonly order: Tensor } | undefined;
  /** Values decoded for one product. */
  private readonly decoded = new Set<Tensor>();

  /** Whether a frozen matrix of a block format is used in its own bits, where the backend can, rather than in `dtype`. */
  keepsBlocks = false;

  /** What a frozen matrix is packed from for LINEAR, instead of its values. */
  packedFrom: WeightSource | undefined;

  /** Whether Hugging Face's files have the matrix as [columns, rows] (GPT-2's Conv1D). */
  transposed = false;

  /** Names of the tensors that files have instead, when this is a stack [E, rows, columns]: the rows of each matrix. */
  parts: readonly (readonly string[])[] | undefined;

  private readonly source: WeightSource | undefined;

  constructor(
    readonly device: Device,
    readonly name: string,
    readonly shape: readonly number[],
    /** Precision that matrices are used in. Vectors (norms, biases) are always f32. */
    readonly dtype: FloatDType,
    /** Where values are read when they are needed, or an f32 tensor of them, which becomes the parameter's own. */
    source: WeightSource | Tensor,
  ) {
    if (source instanceof Tensor) this.held = source;
    else this.source = source;
  }

  /** A parameter with given values, f32, which it takes over. */
  static of(tensor: Tensor, name = 'parameter', { trainable = false, dtype = 'f32' as FloatDType } = {}): Parameter {
    const parameter = new Parameter(tensor.device, name, tensor.shape, dtype, tensor);
    parameter.trainable = trainable;
    return parameter;
  }

  get elements(): number {
    return this.shape.reduce((a, b) => a * b, 1);
  }

  /** Whether backward passes compute its gradient. Setting it makes or drops the f32 master. */
  get trainable(): boolean {
    return this.training;
  }

  set trainable(on: boolean) {
    if (on === this.training) return;
    this.training = on;
    this.dropPacked();
    if (on) {
      if (this.held?.dtype !== 'f32') {
        const values = this.toFloat32();
        this.coded?.[Symbol.dispose]();
        this.coded = undefined;
        this.dropDerived();
        this.held?.dispose();
        this.held = values;
      } else this.dropDerived();
      this.value();
    } else {
      this.gradientBuffer?.dispose();
      this.gradientBuffer = undefined;
      this.gradientFresh = true;
    }
  }

  /** The f32 values that an optimiser updates; undefined when frozen. */
  get master(): Tensor | undefined {
    return this.training ? this.held : undefined;
  }

  /** The copy in compute precision that must follow the master; undefined when the master itself is used. */
  get computeCopy(): Tensor | undefined {
    return this.strided === this.held ? undefined : this.strided;
  }

  get grad(): Tensor | undefined {
    return this.gradientFresh ? undefined : this.gradientBuffer;
  }

  /** Strided values in compute precision (f32 for vectors). */
  value(): Tensor {
    if (this.strided) return this.strided;
    if (this.held?.dtype === this.valueDType) {
      this.strided = this.held;
      return this.held;
    }
    const source = this.open();
    // What was made just now, to be kept, needs no copy.
    if (source.lifetime === 'persistent' && source.dtype === this.valueDType) {
      this.strided = source;
      return source;
    }
    const value = Tensor.empty(this.device, this.shape, this.valueDType, 'persistent');
    commands.copy(this.device.recorder, source, value);
    source.dispose();
    this.strided = value;
    return value;
  }

  /**
   * What LINEAR takes: a frozen matrix packed, in its own bits where `keepsBlocks` says so, else strided values. To be
   * given back by `giveBack` when the command is recorded.
   */
  forward(): Tensor {
    if (this.coded) return this.decode();
    return this.isPacked('packedForward') ? this.pack('packedForward') : this.value();
  }

  /**
   * What LINEAR takes from a caller that can give its input with the columns in another order: groups of codes that are not
   * runs of neighbouring columns (GPTQ's act-order) then stay in their own bits. `w` is to be given back by `giveBack`.
   */
  forLinear(): LinearWeight {
    if (this.reordered) return this.reordered;
    const other = this.reorderedSource();
    if (!other) return { w: this.forward() };
    const { device } = this;
    const [n, k] = this.shape as [number, number];
    using blocks = other.source.open();
    const order = unscoped(() => Tensor.from(device, other.order, [k], 'i32', 'persistent'));
    const w = unscoped(() => Tensor.packed(device, n, k, blocks.dtype, 'packedForward', blocks.group));
    commands.pack(device.recorder, { src: blocks, dst: w });
    this.reordered = { w, order };
    return this.reordered;
  }

  /** What LINEAR_BACKWARD_INPUT takes; to be given back by `giveBack`. */
  backward(): Tensor {
    if (this.coded || (this.keepsBlocks && !this.training && this.shape.length === 2 && this.inBlocks()))
      return this.decode();
    return this.packedBackward();
  }

  /** The matrix in compute precision, packed where the backend packs it: what CROSS_ENTROPY takes beside a frozen head. */
  packedBackward(): Tensor {
    return this.isPacked('packedBackward') ? this.pack('packedBackward') : this.value();
  }

  /** Frees what `forward` or `backward` made for one product. */
  giveBack(values: Tensor): void {
    if (this.decoded.delete(values)) values.dispose();
  }

  /**
   * Keeps a frozen matrix in codes: those of its files, or those that are given. Every product then decodes the matrix
   * anew, in compute precision. False when the files have no codes that can be kept.
   */
  keepCodes(codes: FrozenCodes | undefined = this.source?.codes?.()): boolean {
    if (!codes) return false;
    this.coded?.[Symbol.dispose]();
    this.coded = codes;
    this.dropDerived();
    return true;
  }

  /** Bytes of the codes that are kept instead of values; 0 when there are none. */
  get codeBytes(): number {
    return this.coded?.bytes ?? 0;
  }

  /** Bytes that `forward`, and `backward` if it is wanted, will take; 0 for what has been made already. */
  missingBytes(layouts: readonly LayoutKind[]): number {
    if (this.coded) return 0;
    if (this.training || this.shape.length !== 2) {
      return this.strided || this.held ? 0 : this.elements * elementBytes(this.valueDType);
    }
    const [n, k] = this.shape as [number, number];
    return layouts
      .filter((layout) => !this.packed.has(layout) && this.isPacked(layout))
      .reduce((sum, layout) => {
        const other = layout === 'packedForward' ? this.reorderedSource() : undefined;
        if (other) {
          const { dtype, group } = other.source.blocks!()!;
          return sum + (this.reordered ? 0 : this.device.packedBytes(dtype, layout, n, k, group) + 4 * k);
        }
        const { dtype, group } = this.packedFormat(layout, (this.ownSource(layout) ?? this.source)?.blocks?.());
        return sum + this.device.packedBytes(dtype, layout, n, k, group);
      }, 0);
  }

  /** What EMBEDDING takes: a frozen table straight from its file, else strided values. */
  table(): Tensor {
    if (this.held || !this.source?.direct) return this.value();
    this.directTable ??= this.open();
    return this.directTable;
  }

  /** A new f32 tensor with the values; the caller disposes it. */
  toFloat32(): Tensor {
    if (this.coded) {
      const values = Tensor.empty(this.device, this.shape, 'f32', 'persistent');
      this.coded.decode(values);
      return values;
    }
    using source = this.open();
    const copy = Tensor.empty(this.device, this.shape, 'f32', 'persistent');
    commands.copy(this.device.recorder, source, copy);
    return copy;
  }

  /** Replaces the values by those of a tensor, which stays the caller's. A frozen parameter keeps its compute precision. */
  assign(values: Tensor): void {
    this.coded?.[Symbol.dispose]();
    this.coded = undefined;
    this.dropDerived();
    const dtype = this.training ? 'f32' : this.valueDType;
    if (this.held?.dtype !== dtype) {
      this.held?.dispose();
      this.held = Tensor.empty(this.device, this.shape, dtype, 'persistent');
    }
    commands.copy(this.device.recorder, values, this.held);
    if (this.training) this.value();
  }

  /** Gives up what was made from the values; it is made again when it is needed. */
  release(): void {
    if (!this.training) this.dropDerived();
  }

  /** Makes what is derived from the values follow them, after `master` was written to. */
  refresh(): void {
    this.dropPacked();
    const copy = this.computeCopy;
    if (copy && this.held) commands.copy(this.device.recorder, this.held, copy);
  }

  /**
   * The gradient to write to: `beta` is 0 when its contents are undefined. For commands that can only add, use
   * `gradientToAdd`.
   */
  gradient(): { tensor: Tensor; beta: 0 | 1 } {
    this.gradientBuffer ??= unscoped(() => Tensor.empty(this.device, this.shape, 'f32', 'persistent'));
    const beta = this.gradientFresh ? 0 : 1;
    this.gradientFresh = false;
    return { tensor: this.gradientBuffer, beta };
  }

  /** The gradient to add to, zero when nothing was added since `zeroGrad`. */
  gradientToAdd(): Tensor {
    const { tensor, beta } = this.gradient();
    if (beta === 0) commands.fill(this.device.recorder, 0, tensor);
    return tensor;
  }

  /** Forgets the gradient; its memory is kept. */
  zeroGrad(): void {
    this.gradientFresh = true;
  }

  dispose(): void {
    this.coded?.[Symbol.dispose]();
    this.coded = undefined;
    this.dropDerived();
    this.held?.dispose();
    this.gradientBuffer?.dispose();
    this.held = undefined;
    this.gradientBuffer = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  private get valueDType(): FloatDType {
    return this.shape.length < 2 ? 'f32' : this.dtype;
  }

  /** The values in compute precision, for one product. */
  private decode(): Tensor {
    const values = Tensor.empty(this.device, this.shape, this.dtype);
    if (this.coded) this.coded.decode(values);
    else {
      using source = this.open();
      commands.copy(this.device.recorder, source, values);
    }
    this.decoded.add(values);
    return values;
  }

  private inBlocks(): boolean {
    // To open a source may be work.
    if (!this.held && this.source?.blocks) return this.source.blocks() !== undefined;
    using source = this.open();
    return isBlockFormat(source.dtype);
  }

  /** Whether the matrix is kept in a layout of the backend's; f16 need not have one. */
  private isPacked(layout: LayoutKind): boolean {
    if (this.training || this.shape.length !== 2) return false;
    const [n, k] = this.shape as [number, number];
    return this.packed.has(layout) || this.dtype !== 'f16' || this.device.packs(this.dtype, layout, n, k);
  }

  private pack(layout: LayoutKind): Tensor {
    const known = this.packed.get(layout);
    if (known) return known;
    const [n, k] = this.shape as [number, number];
    const own = this.ownSource(layout);
    using source = own ? own.open() : this.open();
    const { dtype, group } = this.packedFormat(layout, source);
    const tensor = unscoped(() => Tensor.packed(this.device, n, k, dtype, layout, group));
    commands.pack(this.device.recorder, { src: source, dst: tensor });
    this.packed.set(layout, tensor);
    return tensor;
  }

  /** A new f32 tensor with the values as products have them, rounded to compute precision; the caller disposes it. */
  rounded(): Tensor {
    const exact = this.toFloat32();
    if (this.dtype === 'f32') return exact;
    using short = Tensor.empty(this.device, this.shape, this.dtype);
    commands.copy(this.device.recorder, exact, short);
    commands.copy(this.device.recorder, short, exact);
    return exact;
  }

  /** The block format that `stored` gives; undefined when it gives floats. */
  storedBlocks(): { readonly dtype: DType; readonly group: number } | undefined {
    return this.held ? undefined : this.source?.blocks?.();
  }

  /** The values as they are kept or stored, in whatever type; the caller disposes the tensor. */
  stored(): Tensor {
    return this.open();
  }

  /** Where a layout has its values from, when that is not the parameter's source. */
  private ownSource(layout: LayoutKind): WeightSource | undefined {
    return this.held || layout !== 'packedForward' ? undefined : this.packedFrom;
  }

  /** The matrix with its columns in another order, if it is used so. */
  private reorderedSource(): ReorderedSource | undefined {
    if (!this.keepsBlocks || this.held || this.coded || this.training || this.packedFrom || this.shape.length !== 2)
      return undefined;
    const other = this.source?.reordered?.();
    const blocks = other?.source.blocks?.();
    const [n, k] = this.shape as [number, number];
    return blocks && this.device.packs(blocks.dtype, 'packedForward', n, k, blocks.group) ? other : undefined;
  }

  /** What a matrix is packed as: in the blocks that it comes in, if these are kept and the device can. */
  private packedFormat(
    layout: LayoutKind,
    stored: { readonly dtype: DType; readonly group: number } | undefined,
  ): { dtype: DType; group: number } {
    const [n, k] = this.shape as [number, number];
    const kept =
      this.keepsBlocks &&
      stored !== undefined &&
      isBlockFormat(stored.dtype) &&
      this.device.packs(stored.dtype, layout, n, k, stored.group);
    return kept ? { dtype: stored.dtype, group: stored.group } : { dtype: this.dtype, group: 0 };
  }

  /** A handle of the values as they are kept. */
  private open(): Tensor {
    return unscoped(() => this.held?.retain() ?? this.source!.open());
  }

  /** Drops everything that was made from the values. */
  private dropDerived(): void {
    this.dropPacked();
    this.directTable?.dispose();
    this.directTable = undefined;
    if (this.strided !== this.held) this.strided?.dispose();
    this.strided = undefined;
  }

  private dropPacked(): void {
    for (const tensor of this.packed.values()) tensor.dispose();
    this.packed.clear();
    this.reordered?.w.dispose();
    this.reordered?.order.dispose();
    this.reordered = undefined;
  }
}
