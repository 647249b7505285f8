import { formatErrors } from '../errors.js';
import type { GgufFile } from '../gguf/read.js';

/** The metadata of one architecture in a GGUF file: keys are given without their prefix. */
export class GgufFields {
  constructor(
    readonly file: GgufFile,
    /** What the file calls its architecture, which keys begin with. */
    readonly prefix: string,
  ) {}

  /** A number, or the fallback where there is none. Throws LF_ENGINE_FILE_CORRUPT without either. */
  number(key: string, fallback?: number): number {
    const found = this.file.metadata.get(`${this.prefix}.${key}`) ?? fallback;
    if (typeof found === 'number' && Number.isFinite(found)) return found;
    throw formatErrors.FILE_CORRUPT({
      path: this.file.path,
      reason: `the metadata entry ${this.prefix}.${key} is ${JSON.stringify(found) ?? 'missing'}`,
    });
  }

  optional(key: string): number | undefined {
    return this.has(key) ? this.number(key) : undefined;
  }

  flag(key: string, fallback: boolean): boolean {
    const found = this.file.metadata.get(`${this.prefix}.${key}`);
    return typeof found === 'boolean' ? found : fallback;
  }

  text(key: string): string | undefined {
    const found = this.file.metadata.get(`${this.prefix}.${key}`);
    return typeof found === 'string' ? found : undefined;
  }

  has(key: string): boolean {
    return this.file.metadata.has(`${this.prefix}.${key}`);
  }

  hasTensor(name: string): boolean {
    return this.file.tensors.has(name);
  }

  /** The id of a special token of the file's vocabulary. */
  token(kind: 'bos' | 'eos'): number | null {
    const id = this.file.metadata.get(`tokenizer.ggml.${kind}_token_id`);
    return typeof id === 'number' ? id : null;
  }
}
