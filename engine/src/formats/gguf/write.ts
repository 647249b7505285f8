import { byteLength, type DType } from '../../device/dtype.js';
import { writeFileAtomic } from '../atomic-file.js';
import { formatErrors } from '../errors.js';
import type { TensorToWrite } from '../safetensors.js';
import { GGML_TYPES } from './ggml-types.js';

const MAGIC = 0x46554747;
const VERSION = 3;
/** Of the data of each tensor, in bytes: the format's default. */
const ALIGNMENT = 32;

/** Value types of metadata that are written, by their number in the format. */
const TYPE = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;

/** A metadata value with its type; lists have one type. */
export type GgufEntry =
  | { readonly type: 'u32' | 'i32' | 'f32'; readonly value: number }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  | { readonly type: 'i32s' | 'f32s'; readonly value: readonly number[] };

const NUMBERS = new Map([...GGML_TYPES].flatMap(([number, { dtype }]) => (dtype ? [[dtype, number] as const] : [])));

/**
 * Writes a GGUF file of version 3, whole or not at all (writeFileAtomic). One tensor at a time is in memory. Shapes are given
 * row-major, as everywhere; the file has them the other way round.
 * Throws LF_ENGINE_TENSOR_CONTENT when a tensor's bytes are not those of its shape or its type is none of the format's,
 * LF_ENGINE_FILE_UNWRITABLE.
 */
export async function writeGguf(
  path: string,
  metadata: ReadonlyMap<string, GgufEntry>,
  tensors: readonly TensorToWrite[],
): Promise<void> {
  const header = new ByteWriter();
  header.u32(MAGIC);
  header.u32(VERSION);
  header.u64(tensors.length);
  header.u64(metadata.size);
  for (const [key, entry] of metadata) {
    header.string(key);
    writeEntry(header, entry);
  }
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    header.string(name);
    header.u32(shape.length);
    for (const extent of shape.toReversed()) header.u64(extent);
    header.u32(numberOf(path, name, dtype));
    header.u64(offset);
    offset += aligned(byteLength(dtype, shape));
  }
  await writeFileAtomic(path, async (file) => {
    const bytes = header.bytes();
    await file.writeFile(bytes);
    await file.writeFile(new Uint8Array(aligned(bytes.length) - bytes.length));
    for (const { name, dtype, shape, bytes: read } of tensors) {
      const size = byteLength(dtype, shape);
      const data = await read();
      if (data.byteLength !== size) {
        const reason = `its shape [${shape.join(', ')}] of ${dtype} takes ${size} bytes, but ${data.byteLength} were given`;
        throw formatErrors.TENSOR_CONTENT({ path, tensor: name, reason });
      }
      await file.writeFile(data);
      await file.writeFile(new Uint8Array(aligned(size) - size));
    }
  });
}

const aligned = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

function numberOf(path: string, tensor: string, dtype: DType): number {
  const number = NUMBERS.get(dtype);
  if (number !== undefined) return number;
  throw formatErrors.TENSOR_CONTENT({ path, tensor, reason: `GGUF has no data type ${dtype}` });
}

function writeEntry(header: ByteWriter, entry: GgufEntry): void {
  switch (entry.type) {
    case 'u32':
    case 'i32':
    case 'f32':
      header.u32(TYPE[entry.type]);
      header[entry.type](entry.value);
      return;
    case 'bool':
      header.u32(TYPE.bool);
      header.u8(entry.value ? 1 : 0);
      return;
    case 'string':
      header.u32(TYPE.string);
      header.string(entry.value);
      return;
    case 'strings':
      header.list(TYPE.string, entry.value.length);
      for (const value of entry.value) header.string(value);
      return;
    case 'i32s':
      header.list(TYPE.i32, entry.value.length);
      for (const value of entry.value) header.i32(value);
      return;
    case 'f32s':
      header.list(TYPE.f32, entry.value.length);
      for (const value of entry.value) header.f32(value);
  }
}

/** Little-endian values, one after the other, in memory that grows. */
class ByteWriter {
  private buffer = Buffer.alloc(1 << 16);
  private length = 0;

  bytes(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }

  u8(value: number): void {
    const at = this.room(1);
    this.buffer.writeUInt8(value, at);
  }

  u32(value: number): void {
    const at = this.room(4);
    this.buffer.writeUInt32LE(value, at);
  }

  i32(value: number): void {
    const at = this.room(4);
    this.buffer.writeInt32LE(value, at);
  }

  f32(value: number): void {
    const at = this.room(4);
    this.buffer.writeFloatLE(value, at);
  }

  u64(value: number): void {
    const at = this.room(8);
    this.buffer.writeBigUInt64LE(BigInt(value), at);
  }

  string(value: string): void {
    const bytes = Buffer.from(value, 'utf8');
    this.u64(bytes.length);
    const at = this.room(bytes.length);
    bytes.copy(this.buffer, at);
  }

  /** The type of a list, that of its elements, and how many there are. */
  list(type: number, length: number): void {
    this.u32(TYPE.array);
    this.u32(type);
    this.u64(length);
  }

  /** Where the next `bytes` bytes go. The buffer may be another one afterwards. */
  private room(bytes: number): number {
    const at = this.length;
    this.length += bytes;
    if (this.length > this.buffer.length) {
      const larger = Buffer.alloc(Math.max(2 * this.buffer.length, this.length));
      this.buffer.copy(larger);
      this.buffer = larger;
    }
    return at;
  }
}
