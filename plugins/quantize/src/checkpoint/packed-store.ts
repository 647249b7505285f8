import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { asUnwritable, type TensorToWrite } from '@largeforge/engine';

/** Keeps the packed tensors of finished layers in a scratch file, so that memory holds one layer's at a time. */
export class PackedStore implements Disposable {
  private readonly descriptor: number;
  private size = 0;
  private open = true;

  /** @param path of a file that does not exist; it is removed when the store is disposed. Throws LF_ENGINE_FILE_UNWRITABLE. */
  constructor(private readonly path: string) {
    this.descriptor = this.writing(() => openSync(path, 'wx+'));
  }

  /** Bytes kept so far. */
  get bytes(): number {
    return this.size;
  }

  /** The same tensors, whose bytes are read back when they are asked for. Throws LF_ENGINE_FILE_UNWRITABLE. */
  async keep(tensors: readonly TensorToWrite[]): Promise<TensorToWrite[]> {
    const kept: TensorToWrite[] = [];
    for (const tensor of tensors) kept.push(this.readLater(tensor, ...this.append(await tensor.bytes())));
    return kept;
  }

  /** Writes behind what there is; gives the place and the number of the bytes. */
  private append(bytes: Uint8Array): [position: number, length: number] {
    const position = this.size;
    const { length } = bytes;
    for (let done = 0; done < length; ) {
      done += this.writing(() => writeSync(this.descriptor, bytes, done, length - done, position + done));
    }
    this.size += length;
    return [position, length];
  }

  /** In a scope of its own: a function that is kept keeps what others of its scope have captured, the bytes among it. */
  private readLater(tensor: TensorToWrite, position: number, length: number): TensorToWrite {
    return { ...tensor, bytes: () => this.read(position, length) };
  }

  [Symbol.dispose](): void {
    if (!this.open) return;
    this.open = false;
    closeSync(this.descriptor);
    rmSync(this.path, { force: true });
  }

  private writing<T>(write: () => T): T {
    try {
      return write();
    } catch (cause) {
      throw asUnwritable(this.path, cause);
    }
  }

  private read(position: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const read = readSync(this.descriptor, bytes, done, length - done, position + done);
      if (read === 0) throw new Error(`${this.path} was cut while it was in use`);
      done += read;
    }
    return bytes;
  }
}
