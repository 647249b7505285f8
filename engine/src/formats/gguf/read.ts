import { byteLength, type DType } from '../../device/dtype.js';
import { formatErrors, quoted } from '../errors.js';
import { FileReader } from '../file-reader.js';
import { GgufCursor } from './cursor.js';
import { GGML_TYPES, READABLE_GGML_TYPES } from './ggml-types.js';
import { type GgufValue, readMetadata } from './metadata.js';

/** A tensor of a GGUF file, under its name there. */
export interface GgufTensor {
  readonly name: string;
  readonly dtype: DType;
  /** Outermost dimension first, as everywhere but in GGUF itself. */
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

/** What one GGUF file holds. Tensors have the names of the file; shapes are row-major (the rows' length comes last). */
export interface GgufFile {
  readonly path: string;
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

const MAGIC = 'GGUF';
const DEFAULT_ALIGNMENT = 32;
/** GGML_MAX_DIMS. */
const MAX_DIMENSIONS = 4;
/** Bytes that a tensor's description takes at least: name length, dimensions, type and offset. */
const LEAST_TENSOR_BYTES = 24;
/** Bytes that a metadata entry takes at least: key length, type and value. */
const LEAST_ENTRY_BYTES = 13;

/**
 * Reads and checks the header of a GGUF file of version 2 or 3; data is not read. Every count, length and offset is
 * checked against the file's size before anything is allocated for it.
 * Throws LF_ENGINE_FILE_CORRUPT saying what is wrong, LF_ENGINE_FILE_UNSUPPORTED for another format or version and for
 * tensor types that the engine cannot hold, LF_ENGINE_FILE_MISSING or _FILE_UNREADABLE.
 * @param arrays which arrays of the metadata are kept, by their keys: vocabularies take much memory
 */
export function readGguf(path: string, { arrays = (_key: string): boolean => true } = {}): GgufFile {
  using reader = FileReader.open(path, 'GGUF file');
  const cursor = new GgufCursor(reader);

  const magic = cursor.take(4, 'the magic number').toString('latin1');
  if (magic !== MAGIC) {
    throw formatErrors.FILE_UNSUPPORTED({
      path,
      reason: `it is no GGUF file: it begins with ${JSON.stringify(magic)}`,
    });
  }
  const version = cursor.u32('the version');
  if (version !== 2 && version !== 3) {
    const bigEndian = version === 0x02000000 || version === 0x03000000;
    const what = bigEndian ? 'it is a GGUF file in big-endian byte order' : `it is a GGUF file of version ${version}`;
    throw formatErrors.FILE_UNSUPPORTED({
      path,
      reason: what,
      remedy: 'Little-endian GGUF of versions 2 and 3 is read. Convert the model again with a current converter.',
    });
  }
  const tensorCount = cursor.count('the number of tensors', Math.floor(cursor.remaining / LEAST_TENSOR_BYTES));
  const entryCount = cursor.count('the number of metadata entries', Math.floor(cursor.remaining / LEAST_ENTRY_BYTES));
  const metadata = readMetadata(cursor, entryCount, arrays);
  const alignment = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT;
  if (typeof alignment !== 'number' || alignment < 1 || !Number.isInteger(Math.log2(alignment))) {
    throw cursor.invalid(`general.alignment is ${String(alignment)}, which is no power of two`);
  }

  const descriptions: Description[] = [];
  for (let i = 0; i < tensorCount; i++) descriptions.push(readDescription(cursor, i, path));

  const dataStart = Math.ceil(cursor.offset / alignment) * alignment;
  const tensors = new Map<string, GgufTensor>();
  for (const { name, dtype, shape, offset, bytes } of descriptions) {
    const where = `tensor ${quoted(name)}`;
    if (tensors.has(name)) throw cursor.invalid(`${where} comes twice`);
    if (offset % alignment !== 0)
      throw cursor.invalid(`${where} begins at ${offset}, which is no multiple of ${alignment}`);
    if (dataStart + offset + bytes > reader.size) {
      throw cursor.invalid(`${where} ends at ${dataStart + offset + bytes}, but the file at ${reader.size}`);
    }
    tensors.set(name, { name, dtype, shape, offset: dataStart + offset, bytes });
  }
  let end = 0;
  for (const { name, offset, bytes } of descriptions.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (offset < end) throw cursor.invalid(`tensor ${quoted(name)} overlaps the one before it`);
    end = offset + bytes;
  }
  return { path, version, metadata, tensors };
}

interface Description {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** From the beginning of the data. */
  readonly offset: number;
  readonly bytes: number;
}

function readDescription(cursor: GgufCursor, index: number, path: string): Description {
  const name = cursor.string(`the name of tensor ${index}`);
  const where = `tensor ${quoted(name)}`;
  const rank = cursor.u32(`the rank of ${where}`);
  if (rank > MAX_DIMENSIONS)
    throw cursor.invalid(`${where} has ${rank} dimensions; at most ${MAX_DIMENSIONS} are known`);
  const shape: number[] = [];
  for (let i = 0; i < rank; i++) shape.unshift(cursor.count(`dimension ${i} of ${where}`, Number.MAX_SAFE_INTEGER));
  const type = cursor.u32(`the type of ${where}`);
  const offset = cursor.count(`the offset of ${where}`, Number.MAX_SAFE_INTEGER);
  const known = GGML_TYPES.get(type);
  if (!known) throw cursor.invalid(`${where} has the unknown type ${type}`);
  const { name: typeName, dtype } = known;
  if (!dtype) {
    const reason = `${where} is stored as ${typeName}, which is not supported; supported are ${READABLE_GGML_TYPES.join(', ')}`;
    throw formatErrors.FILE_UNSUPPORTED({
      path,
      reason,
      remedy: 'Take another quantisation of the model, for instance Q8_0 or Q4_K_M.',
    });
  }
  let bytes: number;
  try {
    bytes = byteLength(dtype, shape);
  } catch (cause) {
    throw cursor.invalid(`${where}: ${(cause as Error).message}`);
  }
  if (!Number.isSafeInteger(bytes) || !Number.isSafeInteger(offset + bytes)) {
    throw cursor.invalid(`${where} has the shape [${shape.join(', ')}], too large for any file`);
  }
  return { name, dtype, shape, offset, bytes };
}
