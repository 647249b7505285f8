import type { Allocation } from '../device/arena.js';
import * as commands from '../device/commands/index.js';
import type { Device, Lifetime } from '../device/device.js';
import { byteLength, type DType, elementBytes, isBlockFormat } from '../device/dtype.js';
import { deviceErrors } from '../device/errors.js';
import type { LayoutKind } from '../device/opcodes.js';
import type { Operand } from '../device/recorder.js';
import { adopt } from './scope.js';

export type HostArray = Float32Array | Float64Array | Int32Array | Uint32Array | Int8Array | Uint8Array;

/** Memory that several tensors may share; freed when the last one is disposed. */
class Storage {
  references = 1;

  constructor(readonly allocation: Allocation) {}

  retain(): this {
    this.references++;
    return this;
  }

  release(): void {
    if (--this.references === 0) this.allocation.free();
  }
}

let nextId = 1;

/**
 * A handle of a tensor on a device. It holds no data: reading is an explicit, awaited copy. Views share memory. A tensor
 * is disposed by its scope, by `using`, or by hand; its memory is free for commands recorded afterwards.
 */
export class Tensor implements Operand, Disposable {
  /** Same for every handle and reshaped view of one value: what gradients are kept by. */
  readonly id: number;
  /** Whether a tape follows this value. Set it on a leaf before it is used; results inherit it. */
  requiresGrad = false;
  /** Gradient of a leaf, once `Tape.backward` has run. */
  grad: Tensor | undefined;
  private storage: Storage | undefined;

  private constructor(
    readonly device: Device,
    storage: Storage,
    readonly dtype: DType,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
    /** From the start of `buffer`. */
    readonly byteOffset: number,
    readonly layout: LayoutKind,
    readonly lifetime: Lifetime,
    id?: number,
    /** Elements of q4_z that share a scale: a multiple of 32, or 0 where every block has its own. */
    readonly group = 0,
  ) {
    this.storage = storage;
    this.id = id ?? nextId++;
    device.count(1);
    if (lifetime === 'transient') adopt(this);
  }

  /** A tensor whose contents are undefined. */
  static empty(
    device: Device,
    shape: readonly number[],
    dtype: DType = 'f32',
    lifetime: Lifetime = 'transient',
    group = 0,
  ): Tensor {
    const allocation = device.allocate(byteLength(dtype, shape), lifetime);
    return Tensor.over(device, allocation, shape, dtype, lifetime, 0, group);
  }

  /** A contiguous tensor over memory that it takes over. `byteOffset` counts from the start of the allocation. */
  static over(
    device: Device,
    allocation: Allocation,
    shape: readonly number[],
    dtype: DType,
    lifetime: Lifetime = 'transient',
    byteOffset = 0,
    group = 0,
  ): Tensor {
    const strides = isBlockFormat(dtype) ? shape.map(() => 0) : contiguousStrides(shape);
    const at = allocation.byteOffset + byteOffset;
    return new Tensor(
      device,
      new Storage(allocation),
      dtype,
      shape,
      strides,
      at,
      'strided',
      lifetime,
      undefined,
      group,
    );
  }

  /** A weight [n, k] in a layout of the backend's own; fill it with the PACK command. */
  static packed(device: Device, n: number, k: number, dtype: DType, layout: LayoutKind, group = 0): Tensor {
    const allocation = device.allocate(device.packedBytes(dtype, layout, n, k, group), 'persistent');
    return new Tensor(
      device,
      new Storage(allocation),
      dtype,
      [n, k],
      [k, 1],
      allocation.byteOffset,
      layout,
      'persistent',
      undefined,
      group,
    );
  }

  static full(
    device: Device,
    shape: readonly number[],
    value: number,
    dtype: DType = 'f32',
    lifetime: Lifetime = 'transient',
  ): Tensor {
    const tensor = Tensor.empty(device, shape, dtype, lifetime);
    commands.fill(device.recorder, value, tensor);
    return tensor;
  }

  static zeros(
    device: Device,
    shape: readonly number[],
    dtype: DType = 'f32',
    lifetime: Lifetime = 'transient',
  ): Tensor {
    return Tensor.full(device, shape, 0, dtype, lifetime);
  }

  /**
   * Copies host data to the device. `dtype` defaults to that of a typed array, f32 for numbers; data for a bf16 or f16
   * tensor is given as f32.
   */
  static from(
    device: Device,
    data: HostArray | readonly number[],
    shape: readonly number[] = [data.length],
    dtype: DType = hostDType(data),
    lifetime: Lifetime = 'transient',
  ): Tensor {
    if (data.length !== count(shape)) {
      throw deviceErrors.SHAPE({
        operation: 'Tensor.from',
        reason: `${data.length} values do not fill ${describeShape(shape)}`,
      });
    }
    const host = dtype === 'bf16' || dtype === 'f16' ? 'f32' : dtype;
    const array = toHostArray(data, host);
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    const tensor = Tensor.empty(device, shape, dtype, lifetime);
    if (host === dtype) {
      if (bytes.length > 0) device.write(tensor, bytes);
      return tensor;
    }
    const staged = Tensor.empty(device, shape, host);
    if (bytes.length > 0) device.write(staged, bytes);
    commands.copy(device.recorder, staged, tensor);
    staged.dispose();
    return tensor;
  }

  get buffer(): number {
    if (!this.storage) throw deviceErrors.TENSOR_DISPOSED({ tensor: this.describe() });
    return this.storage.allocation.buffer;
  }

  get disposed(): boolean {
    return this.storage === undefined;
  }

  /** Whether other handles hold the same memory. */
  get shared(): boolean {
    return (this.storage?.references ?? 0) > 1;
  }

  get elements(): number {
    return count(this.shape);
  }

  get bytes(): number {
    return byteLength(this.dtype, this.shape);
  }

  /** "f32 [4, 8]" */
  describe(): string {
    return `${this.dtype} ${describeShape(this.shape)}`;
  }

  isContiguous(): boolean {
    if (isBlockFormat(this.dtype) || this.layout !== 'strided') return true;
    let expected = 1;
    for (let i = this.shape.length - 1; i >= 0; i--) {
      if (this.shape[i] !== 1 && this.strides[i] !== expected) return false;
      expected *= this.shape[i]!;
    }
    return true;
  }

  /** Another handle of the same value, with a life of its own. */
  retain(): Tensor {
    return this.alias(this.shape, this.strides, this.byteOffset, this.id);
  }

  /** The same elements in another shape; no copy. Gradients flow through it. */
  reshape(...shape: number[]): Tensor {
    if (!this.isContiguous() || count(shape) !== this.elements || this.layout !== 'strided') {
      throw deviceErrors.SHAPE({
        operation: 'reshape',
        reason: `${this.describe()}${this.isContiguous() ? '' : ', not contiguous,'} cannot become ${describeShape(shape)}`,
      });
    }
    return this.alias(shape, contiguousStrides(shape), this.byteOffset, this.id);
  }

  /** The memory of a contiguous strided tensor as u8 [bytes]; no copy. */
  asBytes(): Tensor {
    if (!this.isContiguous() || this.layout !== 'strided') {
      throw deviceErrors.SHAPE({ operation: 'asBytes', reason: `${this.describe()} is not contiguous` });
    }
    return this.alias([this.bytes], [1], this.byteOffset, undefined, 'u8');
  }

  /**
   * Elements start..start+length of one dimension; no copy. It is a value of its own: a tape does not connect it to this
   * tensor (`ops.narrow` does).
   */
  narrow(dimension: number, start: number, length: number): Tensor {
    const size = this.shape[dimension] ?? -1;
    if (start < 0 || length < 0 || start + length > size || this.layout !== 'strided') {
      throw deviceErrors.SHAPE({
        operation: 'narrow',
        reason: `${start}..${start + length} of dimension ${dimension} does not lie in ${this.describe()}`,
      });
    }
    const shape = this.shape.map((n, i) => (i === dimension ? length : n));
    return this.alias(shape, this.strides, this.byteOffset + this.offsetOf(dimension, start));
  }

  /** A value of its own over the same memory, with given strides in elements (0 broadcasts). */
  view(shape: readonly number[], strides: readonly number[]): Tensor {
    return this.alias(shape, strides, this.byteOffset);
  }

  /** A value of its own over the same memory: what an operation that works in place returns. */
  renamed(): Tensor {
    return this.alias(this.shape, this.strides, this.byteOffset);
  }

  /** Copies to the host. bf16 and f16 arrive as f32. Awaits everything recorded so far. */
  async toArray(): Promise<HostArray> {
    const { device } = this;
    if (isBlockFormat(this.dtype) || this.layout !== 'strided') {
      throw deviceErrors.SHAPE({
        operation: 'toArray',
        reason: `a ${this.layout} ${this.describe()} has no elements to read`,
      });
    }
    const half = this.dtype === 'bf16' || this.dtype === 'f16';
    if (!half && this.isContiguous()) return viewHost(await device.read(this, this.bytes), this.dtype);
    const copy = Tensor.empty(device, this.shape, half ? 'f32' : this.dtype);
    commands.copy(device.recorder, this, copy);
    const reading = device.read(copy, copy.bytes);
    // The read is queued: what is recorded from now on runs after it.
    copy.dispose();
    return viewHost(await reading, copy.dtype);
  }

  /** `toArray` of a float tensor. */
  async floats(): Promise<Float32Array> {
    const array = await this.toArray();
    return array instanceof Float32Array ? array : Float32Array.from(array);
  }

  /** `toArray` of an i32 tensor. */
  async ints(): Promise<Int32Array> {
    const array = await this.toArray();
    return array instanceof Int32Array ? array : Int32Array.from(array);
  }

  /** A tensor of one element as a number. */
  async item(): Promise<number> {
    if (this.elements !== 1)
      throw deviceErrors.SHAPE({ operation: 'item', reason: `${this.describe()} is not one element` });
    return (await this.toArray())[0]!;
  }

  dispose(): void {
    const { storage } = this;
    if (!storage) return;
    this.storage = undefined;
    this.device.count(-1);
    storage.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  private alias(
    shape: readonly number[],
    strides: readonly number[],
    byteOffset: number,
    id?: number,
    dtype: DType = this.dtype,
  ): Tensor {
    if (!this.storage) throw deviceErrors.TENSOR_DISPOSED({ tensor: this.describe() });
    const tensor = new Tensor(
      this.device,
      this.storage.retain(),
      dtype,
      shape,
      strides,
      byteOffset,
      this.layout,
      'transient',
      id,
      this.group,
    );
    if (id !== undefined) tensor.requiresGrad = this.requiresGrad;
    return tensor;
  }

  /** Bytes from the start of the tensor to element `index` of a dimension. */
  private offsetOf(dimension: number, index: number): number {
    if (!isBlockFormat(this.dtype)) return index * this.strides[dimension]! * elementBytes(this.dtype);
    if (dimension !== 0)
      throw deviceErrors.SHAPE({ operation: 'narrow', reason: `${this.describe()} can be cut only along rows` });
    return index * byteLength(this.dtype, this.shape.slice(1));
  }
}

export function count(shape: readonly number[]): number {
  let elements = 1;
  for (const size of shape) elements *= size;
  return elements;
}

export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i]!;
  }
  return strides;
}

export function describeShape(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

function hostDType(data: HostArray | readonly number[]): DType {
  if (data instanceof Int32Array) return 'i32';
  if (data instanceof Uint32Array) return 'u32';
  if (data instanceof Uint8Array) return 'u8';
  if (data instanceof Int8Array) return 'i8';
  if (data instanceof Float64Array) return 'f64';
  return 'f32';
}

function toHostArray(data: HostArray | readonly number[], dtype: DType): HostArray {
  switch (dtype) {
    case 'f32':
      return data instanceof Float32Array ? data : Float32Array.from(data);
    case 'f64':
      return data instanceof Float64Array ? data : Float64Array.from(data);
    case 'i32':
      return data instanceof Int32Array ? data : Int32Array.from(data);
    case 'u32':
      return data instanceof Uint32Array ? data : Uint32Array.from(data);
    case 'u8':
      return data instanceof Uint8Array ? data : Uint8Array.from(data);
    case 'i8':
      return data instanceof Int8Array ? data : Int8Array.from(data);
    default:
      throw deviceErrors.SHAPE({ operation: 'Tensor.from', reason: `host data cannot be given as ${dtype}` });
  }
}

function viewHost(bytes: Uint8Array<ArrayBuffer>, dtype: DType): HostArray {
  switch (dtype) {
    case 'f32':
      return new Float32Array(bytes.buffer);
    case 'f64':
      return new Float64Array(bytes.buffer);
    case 'i32':
      return new Int32Array(bytes.buffer);
    case 'u32':
      return new Uint32Array(bytes.buffer);
    case 'i8':
      return new Int8Array(bytes.buffer);
    case 'u8':
      return bytes;
    default:
      throw deviceErrors.SHAPE({ operation: 'toArray', reason: `${dtype} has no counterpart on the host` });
  }
}
