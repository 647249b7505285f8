import { formatErrors } from '../errors.js';
import type { GgufFile } from '../gguf/read.js';
import type { TokenizerField } from './field.js';

/**
 * How the byte-level BPE families cut text before merging, by `tokenizer.ggml.pre`, as the tokenizer.json of the models
 * that they stand for does it.
 */
const SPLITS: Readonly<Record<string, readonly object[]>> = {
  default: [byteLevel(true)],
  'gpt-2': [byteLevel(true)],
  mpt: [byteLevel(true)],
  olmo: [byteLevel(true)],
  falcon: [
    { type: 'Punctuation', behavior: 'Contiguous' },
    byteLevel(true),
    { type: 'Digits', individual_digits: false },
    split('[0-9][0-9][0-9]'),
  ],
  smollm: [{ type: 'Digits', individual_digits: true }, byteLevel(true)],
  starcoder: [{ type: 'Digits', individual_digits: true }, byteLevel(true)],
  refact: [{ type: 'Digits', individual_digits: true }, byteLevel(true)],
  'llama-bpe': [
    split(
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    ),
    byteLevel(false),
  ],
  qwen2: [
    split(
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    ),
    byteLevel(false),
  ],
};

function byteLevel(useRegex: boolean): object {
  return { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: useRegex };
}

function split(pattern: string): object {
  return { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false };
}

/**
 * What `tokenizer.ggml.pre` calls the way in which a tokenizer.json cuts text before merging; undefined where the format has
 * no name for it.
 */
export function splitNameOf(preTokenizer: unknown): string | undefined {
  const { type, pretokenizers } = (preTokenizer ?? {}) as { type?: unknown; pretokenizers?: unknown };
  const own = type === 'Sequence' ? (pretokenizers as unknown[]) : [preTokenizer];
  const found = Object.keys(SPLITS).find((name) => name !== 'default' && sameSplits(own, SPLITS[name]!));
  return found;
}

/** Whether two lists cut text in the same way, offsets apart. */
function sameSplits(a: readonly unknown[], b: readonly unknown[]): boolean {
  const told = (split: unknown) => {
    const { trim_offsets: _, ...rest } = split as Record<string, unknown>;
    return JSON.stringify(Object.entries({ use_regex: true, ...rest }).sort(([x], [y]) => (x < y ? -1 : 1)));
  };
  return a.length === b.length && a.every((split, i) => told(split) === told(b[i]));
}

/** The byte-level BPE of GPT-2 and those after it, as a tokenizer.json. */
export function byteLevelBpe(file: GgufFile, tokens: readonly string[], get: TokenizerField): object {
  const pre = get<string>('pre') ?? 'default';
  const pretokenizers = Object.hasOwn(SPLITS, pre) ? SPLITS[pre] : undefined;
  if (!pretokenizers) {
    throw formatErrors.FILE_UNSUPPORTED({
      path: file.path,
      reason: `its tokenizer cuts text as "${pre}"; known: ${Object.keys(SPLITS).join(', ')}`,
    });
  }
  const merges = get<string[]>('merges') ?? [];
  if (!Array.isArray(merges) || !merges.every((merge) => typeof merge === 'string')) {
    throw formatErrors.FILE_CORRUPT({ path: file.path, reason: 'the merges of its vocabulary are no list of strings' });
  }
  return {
    normalizer: null,
    pre_tokenizer: pretokenizers.length === 1 ? pretokenizers[0] : { type: 'Sequence', pretokenizers },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: pre === 'llama-bpe',
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      // Two parts and a space between them: bytes, spaces too, are spelled with printable letters.
      merges,
    },
  };
}
