import type { FileReader } from '../file-reader.js';

const WINDOW = 1 << 20;
/** A header longer than this is refused; those with the largest vocabularies take some 20 MB. */
const MAX_HEADER_BYTES = 2 ** 30;
const MAX_STRING_BYTES = 2 ** 26;

/** Reads the little-endian values of a GGUF header one behind the other, through a window onto the file. */
export class GgufCursor {
  private window: Buffer = Buffer.alloc(0);
  private windowStart = 0;
  private position = 0;

  constructor(private readonly file: FileReader) {}

  /** The error of a header that cannot be. */
  invalid(reason: string): Error {
    return this.file.corrupt(reason);
  }

  get offset(): number {
    return this.position;
  }

  get remaining(): number {
    return this.file.size - this.position;
  }

  /** The next `bytes` bytes, valid until the next call. */
  take(bytes: number, what: string): Buffer {
    if (bytes > this.remaining) {
      throw this.invalid(`${what} takes ${bytes} bytes at ${this.position}, but the file ends at ${this.file.size}`);
    }
    if (this.position + bytes > MAX_HEADER_BYTES)
      throw this.invalid(`its header goes beyond ${MAX_HEADER_BYTES} bytes`);
    let start = this.position - this.windowStart;
    if (start + bytes > this.window.length) {
      this.window = this.file.read(this.position, Math.min(Math.max(bytes, WINDOW), this.remaining));
      this.windowStart = this.position;
      start = 0;
    }
    this.position += bytes;
    return this.window.subarray(start, start + bytes);
  }

  u8 = (what: string): number => this.take(1, what)[0]!;
  i8 = (what: string): number => this.take(1, what).readInt8(0);
  u16 = (what: string): number => this.take(2, what).readUInt16LE(0);
  i16 = (what: string): number => this.take(2, what).readInt16LE(0);
  u32 = (what: string): number => this.take(4, what).readUInt32LE(0);
  i32 = (what: string): number => this.take(4, what).readInt32LE(0);
  f32 = (what: string): number => this.take(4, what).readFloatLE(0);
  f64 = (what: string): number => this.take(8, what).readDoubleLE(0);
  /** 64-bit integers beyond 2^53 come as the nearest number; they are no sizes, which `count` reads. */
  u64 = (what: string): number => Number(this.take(8, what).readBigUInt64LE(0));
  i64 = (what: string): number => Number(this.take(8, what).readBigInt64LE(0));

  bool = (what: string): boolean => {
    const value = this.u8(what);
    if (value > 1) throw this.invalid(`${what} is ${value}, which is no boolean`);
    return value === 1;
  };

  /** A 64-bit size: at most `limit`. */
  count(what: string, limit: number): number {
    const value = this.take(8, what).readBigUInt64LE(0);
    if (value > BigInt(limit)) throw this.invalid(`${what} is ${value}, which the file is too short for`);
    return Number(value);
  }

  /** A string with its 64-bit length before it. */
  string = (what: string): string => {
    // Vocabularies may hold parts of characters: what is not UTF-8 comes as U+FFFD, as from other readers.
    return this.stringBytes(what).toString('utf8');
  };

  skipString = (what: string): void => {
    this.stringBytes(what);
  };

  private stringBytes(what: string): Buffer {
    const length = this.count(`the length of ${what}`, this.remaining);
    if (length > MAX_STRING_BYTES)
      throw this.invalid(`${what} is ${length} bytes long; the limit is ${MAX_STRING_BYTES}`);
    return this.take(length, what);
  }
}
