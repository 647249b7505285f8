import { byteLength, type DType } from '../device/dtype.js';
import { BinaryFile } from './binary-file.js';
import { formatErrors } from './file-errors.js';

/** ggml's type numbers. Those without a dtype are known by name only. */
const TYPES: Readonly<Record<number, { name: string; dtype?: DType }>> = {
  0: { name: 'F32', dtype: 'f32' },
  1: { name: 'F16', dtype: 'f16' },
  2: { name: 'Q4_0', dtype: 'q4_0' },
  3: { name: 'Q4_1', dtype: 'q4_1' },
  6: { name: 'Q5_0', dtype: 'q5_0' },
  7: { name: 'Q5_1', dtype: 'q5_1' },
  8: { name: 'Q8_0', dtype: 'q8_0' },
  9: { name: 'Q8_1' },
  10: { name: 'Q2_K' },
  11: { name: 'Q3_K' },
  12: { name: 'Q4_K', dtype: 'q4_k' },
  13: { name: 'Q5_K', dtype: 'q5_k' },
  14: { name: 'Q6_K', dtype: 'q6_k' },
  15: { name: 'Q8_K' },
  16: { name: 'IQ2_XXS' },
  17: { name: 'IQ2_XS' },
  18: { name: 'IQ3_XXS' },
  19: { name: 'IQ1_S' },
  20: { name: 'IQ4_NL' },
  21: { name: 'IQ3_S' },
  22: { name: 'IQ2_S' },
  23: { name: 'IQ4_XS' },
  24: { name: 'I8', dtype: 'i8' },
  25: { name: 'I16' },
  26: { name: 'I32', dtype: 'i32' },
  27: { name: 'I64', dtype: 'i64' },
  28: { name: 'F64', dtype: 'f64' },
  29: { name: 'IQ1_M' },
  30: { name: 'BF16', dtype: 'bf16' },
  34: { name: 'TQ1_0' },
  35: { name: 'TQ2_0' },
  39: { name: 'MXFP4' },
};

export type GgufValue = number | boolean | string | GgufValue[];

export interface GgufTensor {
  readonly name: string;
  readonly dtype: DType;
  /** Outermost dimension first, as everywhere but in GGUF itself. */
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface GgufFile {
  readonly path: string;
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/** Limits that no honest file comes near. */
const MAX_TENSORS = 1_000_000;
const MAX_ENTRIES = 1_000_000;
const MAX_NESTING = 4;
const WINDOW = 1 << 20;

/** Reads forward through a file, never beyond its end, holding a window of it. */
class Reader {
  position = 0;
  private window: Buffer = Buffer.alloc(0);
  private windowStart = 0;

  constructor(readonly file: BinaryFile) {}

  take(length: number): Buffer {
    if (length > this.file.size - this.position) {
      throw this.file.corrupt(
        `it ends in the middle of its header (${length} bytes wanted at byte ${this.position} of ${this.file.size})`,
      );
    }
    const from = this.position - this.windowStart;
    if (from < 0 || from + length > this.window.length) {
      const size = Math.min(Math.max(length, WINDOW), this.file.size - this.position);
      this.window = this.file.read(this.position, size);
      this.windowStart = this.position;
    }
    const start = this.position - this.windowStart;
    this.position += length;
    return this.window.subarray(start, start + length);
  }

  u32(): number {
    return this.take(4).readUInt32LE();
  }

  /** A 64-bit count. */
  count(what: string): number {
    const value = this.take(8).readBigUInt64LE();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.file.corrupt(`${what} is ${value}`);
    return Number(value);
  }

  string(): string {
    const length = this.count('the length of a string');
    if (length > this.file.size - this.position)
      throw this.file.corrupt(`a string at byte ${this.position} claims ${length} bytes`);
    return this.take(length).toString('utf8');
  }

  value(type: number, depth = 0): GgufValue {
    switch (type) {
      case 0:
        return this.take(1).readUInt8();
      case 1:
        return this.take(1).readInt8();
      case 2:
        return this.take(2).readUInt16LE();
      case 3:
        return this.take(2).readInt16LE();
      case 4:
        return this.u32();
      case 5:
        return this.take(4).readInt32LE();
      case 6:
        return this.take(4).readFloatLE();
      case 7:
        return this.take(1).readUInt8() !== 0;
      case 8:
        return this.string();
      case 9:
        return this.array(depth);
      case 10:
        return Number(this.take(8).readBigUInt64LE());
      case 11:
        return Number(this.take(8).readBigInt64LE());
      case 12:
        return this.take(8).readDoubleLE();
      default:
        throw this.file.corrupt(`a metadata value at byte ${this.position} has the unknown type ${type}`);
    }
  }

  private array(depth: number): GgufValue[] {
    if (depth >= MAX_NESTING) throw this.file.corrupt('its metadata nests lists too deeply');
    const type = this.u32();
    const length = this.count('the length of a list');
    // Every element takes a byte at least: a longer list cannot be in the file.
    if (length > this.file.size - this.position)
      throw this.file.corrupt(`a list at byte ${this.position} claims ${length} elements`);
    const values: GgufValue[] = [];
    for (let i = 0; i < length; i++) values.push(this.value(type, depth + 1));
    return values;
  }
}

/** Reads the header of a GGUF file (versions 2 and 3, little-endian). Nothing in it is trusted. */
export function readGguf(path: string): GgufFile {
  using file = new BinaryFile(path, 'GGUF file');
  const reader = new Reader(file);
  if (file.size < 24 || reader.take(4).toString('latin1') !== 'GGUF') {
    throw formatErrors.FILE_UNSUPPORTED({ path, reason: 'it is no GGUF file' });
  }
  const version = reader.u32();
  if (version !== 2 && version !== 3)
    throw formatErrors.FILE_UNSUPPORTED({ path, reason: `GGUF version ${version}; 2 and 3 are known` });
  const tensorCount = reader.count('the number of tensors');
  const entryCount = reader.count('the number of metadata entries');
  if (tensorCount > MAX_TENSORS || entryCount > MAX_ENTRIES)
    throw file.corrupt(`it claims ${tensorCount} tensors and ${entryCount} metadata entries`);
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < entryCount; i++) {
    const key = reader.string();
    if (metadata.has(key)) throw file.corrupt(`the metadata entry "${key}" appears twice`);
    metadata.set(key, reader.value(reader.u32()));
  }
  const alignment = metadata.get('general.alignment') ?? 32;
  if (typeof alignment !== 'number' || alignment <= 0 || alignment % 8 !== 0)
    throw file.corrupt(`its alignment is ${alignment}`);
  const infos = Array.from({ length: tensorCount }, () => readInfo(reader));
  const dataStart = Math.ceil(reader.position / alignment) * alignment;
  const tensors = new Map<string, GgufTensor>();
  for (const info of infos) {
    const offset = dataStart + info.offset;
    if (info.offset % alignment !== 0)
      throw file.corrupt(`tensor "${info.name}" does not start at a multiple of ${alignment}`);
    if (offset + info.bytes > file.size)
      throw file.corrupt(`tensor "${info.name}" ends at byte ${offset + info.bytes} of a file of ${file.size}`);
    if (tensors.has(info.name)) throw file.corrupt(`tensor "${info.name}" appears twice`);
    tensors.set(info.name, { ...info, offset });
  }
  return { path, version, metadata, tensors };
}

function readInfo(reader: Reader): GgufTensor {
  const { file } = reader;
  const name = reader.string();
  const rank = reader.u32();
  if (rank > 4) throw file.corrupt(`tensor "${name}" has ${rank} dimensions`);
  const shape = Array.from({ length: rank }, () => reader.count(`a dimension of tensor "${name}"`)).reverse();
  const type = reader.u32();
  const known = TYPES[type];
  if (!known) throw file.corrupt(`tensor "${name}" has the unknown type ${type}`);
  if (!known.dtype)
    throw formatErrors.FILE_UNSUPPORTED({
      path: file.path,
      reason: `tensor "${name}" is of type ${known.name}, which is not supported`,
    });
  const offset = reader.count(`the offset of tensor "${name}"`);
  let bytes: number;
  try {
    bytes = byteLength(known.dtype, shape);
  } catch (error) {
    throw file.corrupt(`tensor "${name}": ${(error as Error).message}`);
  }
  if (!Number.isSafeInteger(bytes) || !shape.every((n) => n <= 0xffffffff))
    throw file.corrupt(`tensor "${name}" has the shape [${shape.join(', ')}]`);
  return { name, dtype: known.dtype, shape, offset, bytes };
}
