import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { formatErrors } from './errors.js';

/**
 * A file read at positions. Tensor data never passes through here: only headers do, while data is mapped by the
 * device.
 */
export class FileReader implements Disposable {
  private constructor(
    readonly path: string,
    readonly size: number,
    private readonly descriptor: number,
  ) {}

  /** Throws LF_ENGINE_FILE_MISSING, or LF_ENGINE_FILE_UNREADABLE when the path is no readable regular file. */
  static open(path: string, what = 'file'): FileReader {
    let descriptor: number | undefined;
    try {
      descriptor = openSync(path, 'r');
      const stat = fstatSync(descriptor);
      if (!stat.isFile()) throw new Error('it is not a regular file');
      return new FileReader(path, stat.size, descriptor);
    } catch (cause) {
      if (descriptor !== undefined) closeSync(descriptor);
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT')
        throw formatErrors.FILE_MISSING({ path, what }, { cause });
      throw formatErrors.FILE_UNREADABLE({ path, reason: reasonOf(cause) }, { cause });
    }
  }

  /** Reads `length` bytes from `offset`. Throws LF_ENGINE_FILE_CORRUPT when the file ends earlier. */
  read(offset: number, length: number): Buffer {
    if (offset + length > this.size) {
      throw this.corrupt(`bytes ${offset} to ${offset + length} were expected, the file has ${this.size}`);
    }
    const buffer = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const count = this.readSome(buffer, done, offset + done);
      if (count === 0) throw this.corrupt(`it was shortened to ${offset + done} bytes while it was read`);
      done += count;
    }
    return buffer;
  }

  corrupt(reason: string): Error {
    return formatErrors.FILE_CORRUPT({ path: this.path, reason });
  }

  [Symbol.dispose](): void {
    closeSync(this.descriptor);
  }

  private readSome(buffer: Buffer, start: number, position: number): number {
    try {
      return readSync(this.descriptor, buffer, start, buffer.length - start, position);
    } catch (cause) {
      throw formatErrors.FILE_UNREADABLE({ path: this.path, reason: reasonOf(cause) }, { cause });
    }
  }
}

/** Why an operation on a file failed, without what node repeats of the path. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return 'it does not exist';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'ENOSPC':
      return 'no space is left on the disk';
    case 'EISDIR':
      return 'it is a folder';
    case 'ENOTDIR':
      return 'a part of its path is no folder';
    case 'EROFS':
      return 'the file system is read-only';
    default:
      return error.message;
  }
}
