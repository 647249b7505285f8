import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { formatErrors } from './file-errors.js';

/** Positional reads of a file, none beyond its end. */
export class BinaryFile implements Disposable {
  readonly size: number;
  private readonly descriptor: number;

  constructor(
    readonly path: string,
    what = 'file',
  ) {
    try {
      this.descriptor = openSync(path, 'r');
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT')
        throw formatErrors.FILE_MISSING({ path, what }, { cause });
      throw formatErrors.FILE_UNSUPPORTED({ path, reason: (cause as Error).message }, { cause });
    }
    const status = fstatSync(this.descriptor);
    if (!status.isFile()) {
      closeSync(this.descriptor);
      throw formatErrors.FILE_UNSUPPORTED({ path, reason: 'it is not a regular file' });
    }
    this.size = status.size;
  }

  /** Bytes offset..offset+length. Throws LF_ENGINE_FILE_CORRUPT when the file ends earlier. */
  read(offset: number, length: number): Buffer {
    if (offset < 0 || length < 0 || !Number.isSafeInteger(offset + length) || offset + length > this.size) {
      throw this.corrupt(`bytes ${offset} to ${offset + length} were expected, the file has ${this.size}`);
    }
    const buffer = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      const n = readSync(this.descriptor, buffer, done, length - done, offset + done);
      if (n === 0) throw this.corrupt(`it ended at byte ${offset + done} while it was read`);
      done += n;
    }
    return buffer;
  }

  corrupt(reason: string): Error {
    return formatErrors.FILE_CORRUPT({ path: this.path, reason });
  }

  [Symbol.dispose](): void {
    closeSync(this.descriptor);
  }
}
