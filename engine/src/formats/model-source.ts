import type { DType } from '../device/dtype.js';

/** A tensor as it lies in a file. */
export interface TensorEntry {
  /** Hugging Face name. */
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly file: string;
  /** From the start of the file, in bytes. */
  readonly offset: number;
  readonly bytes: number;
  /**
   * GGUF files of the llama family keep the rows of q and k in the order of interleaved rotation: row (h, 2i + j) of the
   * file is row (h, j * headDim/2 + i) of the Hugging Face weight.
   */
  readonly transform?: 'unpermute-rope';
  /** Heads of the tensor, for the transform. */
  readonly heads?: number;
}

/** Everything that a model's files say, whatever their format; tensor data stays in the files. */
export interface ModelSource {
  readonly kind: 'folder' | 'gguf';
  readonly path: string;
  /** In the shape of a Hugging Face config.json. */
  readonly config: Record<string, unknown>;
  /** By Hugging Face name. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly generationConfig?: Record<string, unknown>;
  readonly tokenizer?: TokenizerSource;
}

/** What a tokenizer is made from: the contents of Hugging Face's files. */
export interface TokenizerSource {
  /** tokenizer.json */
  readonly tokenizer: Record<string, unknown>;
  /** tokenizer_config.json */
  readonly config: Record<string, unknown>;
  readonly chatTemplate?: string;
}
