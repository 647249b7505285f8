import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { byteLength, type DType } from '../device/dtype.js';
import { BinaryFile } from './binary-file.js';
import type { TensorEntry } from './model-source.js';

/** The format's own limit. */
const MAX_HEADER_BYTES = 100_000_000;

const DTYPES: Readonly<Record<string, DType>> = {
  F32: 'f32',
  F16: 'f16',
  BF16: 'bf16',
  F64: 'f64',
  I64: 'i64',
  I32: 'i32',
  U32: 'u32',
  I8: 'i8',
  U8: 'u8',
  BOOL: 'u8',
};
const NAMES = Object.fromEntries(
  Object.entries(DTYPES)
    .filter(([name]) => name !== 'BOOL')
    .map(([name, dtype]) => [dtype, name]),
);

export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Reads the header of a safetensors file. Every entry is checked against the file: known dtype, shape that fits its
 * bytes, ranges that lie in the file, start where the previous one ends, and do not overlap.
 */
export function readSafetensors(path: string): SafetensorsFile {
  using file = new BinaryFile(path, 'safetensors file');
  const fail = (reason: string) => file.corrupt(reason);
  if (file.size < 8) throw fail(`${file.size} bytes are too few for a header`);
  const headerBytes = Number(file.read(0, 8).readBigUInt64LE());
  if (headerBytes > MAX_HEADER_BYTES) throw fail(`its header claims ${headerBytes} bytes`);
  if (headerBytes + 8 > file.size)
    throw fail(`its header of ${headerBytes} bytes ends beyond the file of ${file.size}`);
  const header = parseHeader(file.read(8, headerBytes), fail);
  const dataStart = 8 + headerBytes;
  const tensors = new Map<string, TensorEntry>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__')
      metadata = Object.fromEntries(Object.entries(value as object).map(([k, v]) => [k, String(v)]));
    else tensors.set(name, readEntry(path, name, value, dataStart, file.size, fail));
  }
  checkRanges([...tensors.values()], dataStart, file.size, fail);
  return { tensors, metadata };
}

function parseHeader(bytes: Buffer, fail: (reason: string) => Error): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw fail(`its header is no JSON: ${(error as Error).message}`);
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header))
    throw fail('its header is no JSON object');
  return header as Record<string, unknown>;
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function readEntry(
  path: string,
  name: string,
  value: unknown,
  dataStart: number,
  fileSize: number,
  fail: (reason: string) => Error,
): TensorEntry {
  const { dtype: dtypeName, shape, data_offsets: range } = (value ?? {}) as Record<string, unknown>;
  const dtype = typeof dtypeName === 'string' ? DTYPES[dtypeName] : undefined;
  if (!dtype) throw fail(`tensor "${name}" has the unknown dtype ${JSON.stringify(dtypeName)}`);
  if (!Array.isArray(shape) || !shape.every(isCount))
    throw fail(`tensor "${name}" has the shape ${JSON.stringify(shape)}`);
  if (!Array.isArray(range) || range.length !== 2 || !range.every(isCount))
    throw fail(`tensor "${name}" has the range ${JSON.stringify(range)}`);
  const [from, to] = range as [number, number];
  if (to < from || dataStart + to > fileSize)
    throw fail(`tensor "${name}" ends at byte ${dataStart + to} of a file of ${fileSize}`);
  const bytes = byteLength(dtype, shape);
  if (bytes !== to - from)
    throw fail(`tensor "${name}" of shape [${shape.join(', ')}] needs ${bytes} bytes and has ${to - from}`);
  return { name, dtype, shape, file: path, offset: dataStart + from, bytes };
}

function checkRanges(
  entries: TensorEntry[],
  dataStart: number,
  fileSize: number,
  fail: (reason: string) => Error,
): void {
  let end = dataStart;
  for (const entry of entries.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (entry.offset < end) throw fail(`tensor "${entry.name}" overlaps another`);
    if (entry.offset > end) throw fail(`${entry.offset - end} bytes before tensor "${entry.name}" belong to nothing`);
    end = entry.offset + entry.bytes;
  }
  if (end !== fileSize) throw fail(`${fileSize - end} bytes at its end belong to nothing`);
}

/** A tensor to be written; its bytes are asked for when their turn comes. */
export interface TensorToWrite {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  bytes(): Uint8Array | Promise<Uint8Array>;
}

/** Writes a safetensors file: beside its place first, flushed to the disk, then renamed, so that it is whole or absent. */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Record<string, string> = { format: 'pt' },
): Promise<void> {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    const bytes = byteLength(dtype, shape);
    header[name] = { dtype: NAMES[dtype], shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  let json = JSON.stringify(header);
  json += ' '.repeat((8 - (Buffer.byteLength(json) % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(json)));
  const temporary = `${path}.${process.pid}.new`;
  const descriptor = openSync(temporary, 'w');
  try {
    writeAll(descriptor, length);
    writeAll(descriptor, Buffer.from(json));
    for (const tensor of tensors) {
      const bytes = await tensor.bytes();
      if (bytes.length !== byteLength(tensor.dtype, tensor.shape)) {
        throw new RangeError(
          `tensor ${tensor.name}: ${bytes.length} bytes do not fill [${tensor.shape.join(', ')}] of ${tensor.dtype}`,
        );
      }
      writeAll(descriptor, bytes);
    }
    fsyncSync(descriptor);
  } catch (error) {
    closeSync(descriptor);
    rmSync(temporary, { force: true });
    throw error;
  }
  closeSync(descriptor);
  renameSync(temporary, path);
  syncFolder(dirname(path));
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done, bytes.length - done);
}

/** Makes a rename durable. */
export function syncFolder(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
