import type { DType } from '../device/dtype.js';

/** A tensor in a file: what it is and where its bytes lie. All of them are within the file. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly file: string;
  /** Position of the first byte in the file. */
  readonly offset: number;
  readonly bytes: number;
  /**
   * What must be done to the stored tensor before it is what its name says. 'unpermute-rope': rows of each head are
   * stored as pairs (2i, 2i + 1), as GGUF has them for llama; they belong at (i, i + half).
   */
  readonly transform?: 'unpermute-rope';
  /** Heads of the tensor, for the transform. */
  readonly heads?: number;
}
