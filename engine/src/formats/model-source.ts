import type { DType } from '../device/dtype.js';
import type { TableQuantizedTensor } from './quantized/bitsandbytes.js';
import type { QuantizedTensor } from './quantized/checkpoint.js';

/**
 * What must be done to a file's tensor before it is what its name says.
 * unpermute-rope: rows of each head are stored as pairs (2i, 2i + 1), as GGUF has llama's; they belong at (i, i + half).
 * transposed: a matrix that Hugging Face keeps as [in, out] lies in the file as [out, in], as GGUF has it.
 * stacked-heads: rows of a fused projection are all queries, all keys, all values, as GGUF has those of GPT-NeoX; they
 * belong together head by head.
 * plus-one: 1 was added to the weights of a norm, as GGUF has those of Gemma.
 */
export type TensorTransform = 'unpermute-rope' | 'transposed' | 'stacked-heads' | 'plus-one';

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
  readonly transform?: TensorTransform;
  /** Heads of the tensor, for the transforms of heads. */
  readonly heads?: number;
  /** The tensors that the weight is quantised to: then it has no bytes of its own in the files. */
  readonly quantized?: QuantizedTensor;
  /** The same of a 4-bit weight of bitsandbytes. */
  readonly tableQuantized?: TableQuantizedTensor;
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
  /** tokenizer.json; of a source that has its text it is read from that each time. */
  readonly tokenizer: Record<string, unknown>;
  /** The text of it, which takes a fifth of the memory that the values do. */
  readonly json?: string;
  /** Its parts beside the vocabulary, of a source that has its text. */
  readonly outline?: Record<string, unknown>;
  /** tokenizer_config.json */
  readonly config: Record<string, unknown>;
  readonly chatTemplate?: string;
}

/** What code asks of a tokenizer.json besides the vocabulary. */
const OUTLINE = ['added_tokens', 'normalizer', 'decoder'] as const;

/**
 * A tokenizer's source that keeps the text of a tokenizer.json rather than the values.
 * @param json the text of `tokenizer`
 */
export function tokenizerOfText(
  json: string,
  tokenizer: Record<string, unknown>,
  rest: Pick<TokenizerSource, 'config' | 'chatTemplate'>,
): TokenizerSource {
  return {
    ...rest,
    json,
    outline: Object.fromEntries(OUTLINE.map((key) => [key, tokenizer[key]])),
    get tokenizer(): Record<string, unknown> {
      return JSON.parse(json);
    },
  };
}
