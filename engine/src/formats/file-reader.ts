import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { formatErrors } from './errors.js';

/**
 * A file read at positions. Tensor data never passes through here: only headers do, while data is mapped by the
 * device.
 */
export class FileReader {
  private constructor(
    readonly path: string,
    readonly size: number,
    private readonly descriptor: number,
  ) {}

  /** Throws LF_ENGINE_FILE_UNREADABLE when the path is no readable regular file. */
  static open(path: string): FileReader {
    let descriptor: number | undefined;
    try {
      descriptor = openSync(path, 'r');
      const stat = fstatSync(descriptor);
      if (!stat.isFile()) throw new Error('it is not a regular file');
      return new FileReader(path, stat.size, descriptor);
    } catch (cause) {
      if (descriptor !== undefined) closeSync(descriptor);
      throw formatErrors.FILE_UNREADABLE({ path, reason: reasonOf(cause) }, { cause });
    }
  }

  /** Reads up to `bytes` from `offset`; fewer only where the file ends. */
  read(offset: number, bytes: number): Buffer {
    const length = Math.max(0, Math.min(bytes, this.size - offset));
    const buffer = Buffer.allocUnsafe(length);
    let done = 0;
    try {
      while (done < length) {
        const count = readSync(this.descriptor, buffer, done, length - done, offset + done);
        if (count === 0) break;
        done += count;
      }
    } catch (cause) {
      throw formatErrors.FILE_UNREADABLE({ path: this.path, reason: reasonOf(cause) }, { cause });
    }
    return buffer.subarray(0, done);
  }

  [Symbol.dispose](): void {
    closeSync(this.descriptor);
  }
}

/** The message of something thrown, without what node repeats of the path. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') return 'it does not exist';
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied';
  if (code === 'ENOSPC') return 'no space is left on the disk';
  if (code === 'EISDIR') return 'it is a folder';
  return error.message;
}
