import { byteLength, type DType } from '../device/dtype.js';
import { writeFileAtomic } from './atomic-file.js';
import { duplicateKey } from './duplicate-key.js';
import { formatErrors, quoted } from './errors.js';
import { FileReader } from './file-reader.js';
import type { TensorEntry } from './model-source.js';

/** The format's own limit on a header, in bytes (MAX_HEADER_SIZE of the reference implementation). */
const MAX_HEADER_BYTES = 100_000_000;

/** Data types that the engine holds. BOOL is read as bytes; it is not written. */
const DTYPES: ReadonlyMap<string, DType> = new Map([
  ['F64', 'f64'],
  ['F32', 'f32'],
  ['F16', 'f16'],
  ['BF16', 'bf16'],
  ['I64', 'i64'],
  ['I32', 'i32'],
  ['U32', 'u32'],
  ['I8', 'i8'],
  ['U8', 'u8'],
  ['BOOL', 'u8'],
]);
const NAMES = new Map([...DTYPES].filter(([name]) => name !== 'BOOL').map(([name, dtype]) => [dtype, name]));
/** Data types of the format that the engine cannot hold. */
const OTHER_DTYPES = /^(U64|I16|U16|C64|F8_E4M3|F8_E5M2|F8_E8M0|F8_E4M3FNUZ|F8_E5M2FNUZ|F6_E2M3|F6_E3M2|F4)$/;

/** What one safetensors file holds. */
export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Reads and checks the header of a safetensors file; data is not read. As the reference implementation does, it
 * demands that the tensors cover the data exactly: no gap, no overlap, nothing beyond the end.
 * Throws LF_ENGINE_FILE_CORRUPT saying what is wrong, LF_ENGINE_FILE_UNSUPPORTED for data types that the engine cannot
 * hold, LF_ENGINE_FILE_MISSING or _FILE_UNREADABLE.
 */
export function readSafetensors(path: string): SafetensorsFile {
  using file = FileReader.open(path, 'safetensors file');
  const fail: Fail = (reason, cause) => formatErrors.FILE_CORRUPT({ path, reason }, { cause });
  if (file.size < 8) throw fail(`${file.size} bytes are too few for a header`);
  const declared = file.read(0, 8).readBigUInt64LE(0);
  if (declared > BigInt(MAX_HEADER_BYTES))
    throw fail(`its header claims ${declared} bytes; the limit is ${MAX_HEADER_BYTES}`);
  const dataStart = 8 + Number(declared);
  if (dataStart > file.size) throw fail(`its header claims ${declared} bytes, but the file has ${file.size}`);
  const header = parseHeader(file.read(8, Number(declared)), fail);

  const tensors = new Map<string, TensorEntry>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') metadata = parseMetadata(value, fail);
    else tensors.set(name, parseTensor(path, name, value, dataStart, fail));
  }
  checkCoverage([...tensors.values()], dataStart, file.size, fail);
  return { tensors, metadata };
}

type Fail = (reason: string, cause?: unknown) => Error;

function parseHeader(raw: Buffer, fail: Fail): Record<string, unknown> {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw);
  } catch (cause) {
    throw fail('its header is not UTF-8', cause);
  }
  if (!text.startsWith('{')) throw fail('its header does not begin with "{"');
  let header: Record<string, unknown>;
  try {
    header = JSON.parse(text);
  } catch (cause) {
    throw fail(`its header is no JSON: ${(cause as Error).message.slice(0, 200)}`, cause);
  }
  const twice = duplicateKey(text);
  if (twice !== undefined) throw fail(`its header has the key ${quoted(twice)} twice`);
  return header;
}

function parseMetadata(value: unknown, fail: Fail): Record<string, string> {
  if (!isObject(value)) throw fail('__metadata__ is no object');
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw fail(`__metadata__ has ${quoted(key)}, which is no string`);
  }
  return value as Record<string, string>;
}

function parseTensor(path: string, name: string, value: unknown, dataStart: number, fail: Fail): TensorEntry {
  const where = `tensor ${quoted(name)}`;
  if (!isObject(value)) throw fail(`${where} is described by no object`);
  const { dtype: dtypeName, shape, data_offsets: offsets, ...rest } = value;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw fail(`${where} has the unknown field ${quoted(unknown)}`);
  const dtype = DTYPES.get(String(dtypeName));
  if (typeof dtypeName !== 'string' || (!dtype && !OTHER_DTYPES.test(dtypeName))) {
    throw fail(`${where} has the unknown data type ${quoted(String(dtypeName))}`);
  }
  if (!dtype) {
    throw formatErrors.FILE_UNSUPPORTED({
      path,
      reason: `${where} is stored as ${dtypeName}; known are ${[...DTYPES.keys()].join(', ')}`,
      remedy: 'Use the model in a format that is not quantised in this way, for instance as BF16.',
    });
  }
  if (!isSizes(shape)) throw fail(`${where} has a shape that is no list of sizes`);
  if (!isSizes(offsets) || offsets.length !== 2) throw fail(`${where} has data_offsets that are no pair of positions`);
  const [begin, end] = offsets as [number, number];
  const bytes = byteLength(dtype, shape);
  if (!Number.isSafeInteger(bytes)) throw fail(`${where} has a shape too large for any file`);
  if (end - begin !== bytes) {
    throw fail(
      `${where} takes ${bytes} bytes by its shape [${shape.join(', ')}] of ${dtypeName}, but ${end - begin} by its offsets`,
    );
  }
  return { name, dtype, shape, file: path, offset: dataStart + begin, bytes };
}

function checkCoverage(entries: TensorEntry[], dataStart: number, fileSize: number, fail: Fail): void {
  let end = dataStart;
  for (const entry of entries.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (entry.offset < end) throw fail(`tensor ${quoted(entry.name)} overlaps the one before it`);
    if (entry.offset > end)
      throw fail(`${entry.offset - end} bytes before tensor ${quoted(entry.name)} belong to nothing`);
    end = entry.offset + entry.bytes;
  }
  if (end > fileSize) throw fail(`its tensors end at byte ${end}, but it has only ${fileSize}`);
  if (end < fileSize) throw fail(`${fileSize - end} bytes at its end belong to nothing`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** A tensor to be written; its bytes are asked for once, when their turn comes, so that few are in memory at a time. */
export interface TensorToWrite {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Little-endian and row-major. */
  bytes(): Uint8Array | Promise<Uint8Array>;
}

/**
 * Writes a safetensors file, whole or not at all (writeFileAtomic). Tensors go in the reference implementation's order:
 * wide data types first, then by name, so that each is aligned. Without the metadata {"format": "pt"}, transformers
 * refuses a file. Throws LF_ENGINE_TENSOR_CONTENT when a tensor's bytes are not those of its shape, LF_ENGINE_FILE_UNWRITABLE.
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): Promise<void> {
  const sorted = tensors.map((tensor) => ({ tensor, size: storedSize(path, tensor) }));
  sorted.sort(
    (a, b) =>
      byteLength(b.tensor.dtype, [1]) - byteLength(a.tensor.dtype, [1]) || (a.tensor.name < b.tensor.name ? -1 : 1),
  );
  const header = new Map<string, unknown>([['__metadata__', metadata]]);
  let position = 0;
  for (const { tensor, size } of sorted) {
    const { name, dtype, shape } = tensor;
    if (header.has(name)) throw formatErrors.TENSOR_CONTENT({ path, tensor: name, reason: 'its name is taken' });
    header.set(name, { dtype: NAMES.get(dtype), shape, data_offsets: [position, position + size] });
    position += size;
  }
  await writeFileAtomic(path, async (file) => {
    await file.writeFile(encodeHeader(header));
    for (const { tensor, size } of sorted) {
      const bytes = await tensor.bytes();
      if (bytes.byteLength !== size) {
        const reason = `its shape [${tensor.shape.join(', ')}] of ${tensor.dtype} takes ${size} bytes, but ${bytes.byteLength} were given`;
        throw formatErrors.TENSOR_CONTENT({ path, tensor: tensor.name, reason });
      }
      await file.writeFile(bytes);
    }
  });
}

/** Length and JSON of a header, padded with spaces so that data begins at a multiple of 8. */
function encodeHeader(header: ReadonlyMap<string, unknown>): Uint8Array {
  // Not through an object, which would put names that look like numbers first.
  const fields = [...header].map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  const json = Buffer.from(`{${fields.join(',')}}`, 'utf8');
  const padded = Math.ceil(json.length / 8) * 8;
  const bytes = Buffer.alloc(8 + padded, ' ');
  bytes.writeBigUInt64LE(BigInt(padded), 0);
  json.copy(bytes, 8);
  return bytes;
}

/** Bytes of a tensor in a file. Throws when the format cannot hold it. */
function storedSize(path: string, { name, dtype, shape }: TensorToWrite): number {
  if (name === '__metadata__')
    throw formatErrors.TENSOR_CONTENT({ path, tensor: name, reason: 'its name is reserved' });
  if (!NAMES.has(dtype)) {
    throw formatErrors.TENSOR_CONTENT({ path, tensor: name, reason: `safetensors has no data type ${dtype}` });
  }
  return byteLength(dtype, shape);
}
