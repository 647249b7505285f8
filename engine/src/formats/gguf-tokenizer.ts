import { formatErrors } from './errors.js';
import type { GgufFile } from './gguf/read.js';
import type { TokenizerSource } from './model-source.js';

/** ggml's kinds of tokens. */
const NORMAL = 1;
const CONTROL = 3;
const USER_DEFINED = 4;

/**
 * How the byte-level BPE families cut text before merging, by `tokenizer.ggml.pre`, as the tokenizer.json of the models
 * that they stand for does it.
 */
const SPLITS: Readonly<Record<string, readonly object[]>> = {
  default: [byteLevel(true)],
  'gpt-2': [byteLevel(true)],
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

/** Far above any real token; how pieces can be merged is found by cutting each everywhere. */
const MAX_TOKEN_LENGTH = 4096;

/** The tokenizer that a GGUF file carries, as Hugging Face's files would describe it. Undefined when it carries none. */
export function ggufTokenizer(file: GgufFile): TokenizerSource | undefined {
  const get = <T>(key: string) => file.metadata.get(`tokenizer.ggml.${key}`) as T | undefined;
  const tokens = get<string[]>('tokens');
  const model = get<string>('model');
  if (tokens === undefined || model === undefined) return undefined;
  const types = get<number[]>('token_type') ?? [];
  if (!Array.isArray(tokens) || !tokens.every((token) => typeof token === 'string')) {
    throw formatErrors.FILE_CORRUPT({ path: file.path, reason: 'its vocabulary is no list of strings' });
  }
  const long = tokens.find((token) => token.length > MAX_TOKEN_LENGTH);
  if (long !== undefined) {
    throw formatErrors.FILE_CORRUPT({
      path: file.path,
      reason: `a token of its vocabulary is ${long.length} characters long; the limit is ${MAX_TOKEN_LENGTH}`,
    });
  }
  const added = tokens
    .map((content, id) => ({ id, content, type: types[id] ?? NORMAL }))
    .filter(({ type }) => type === CONTROL || type === USER_DEFINED)
    .map(({ id, content, type }) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: type === CONTROL,
    }));
  const chatTemplate = file.metadata.get('tokenizer.chat_template');
  if (chatTemplate !== undefined && typeof chatTemplate !== 'string') {
    throw formatErrors.FILE_CORRUPT({ path: file.path, reason: 'its tokenizer.chat_template is no text' });
  }
  const content = (key: string) => {
    const id = get<unknown>(`${key}_token_id`);
    return typeof id === 'number' ? tokens[id] : undefined;
  };
  const config: Record<string, unknown> = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    clean_up_tokenization_spaces: false,
    model_max_length: file.metadata.get(`${file.metadata.get('general.architecture')}.context_length`),
    ...definedOnly({
      bos_token: content('bos'),
      eos_token: content('eos'),
      unk_token: content('unknown'),
      pad_token: content('padding'),
      chat_template: chatTemplate,
      add_bos_token: get<boolean>('add_bos_token'),
      add_eos_token: get<boolean>('add_eos_token'),
    }),
  };
  const build = model === 'gpt2' ? byteLevelBpe : model === 'llama' ? sentencePieceBpe : undefined;
  if (!build)
    throw formatErrors.FILE_UNSUPPORTED({
      path: file.path,
      reason: `its tokenizer is of type "${model}"; gpt2 and llama are known`,
    });
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    ...build(file, tokens, get),
    post_processor: bosProcessor(
      get<boolean>('add_bos_token') ?? model === 'llama',
      content('bos'),
      get<number>('bos_token_id'),
    ),
  };
  return { tokenizer, config, chatTemplate };
}

type Get = <T>(key: string) => T | undefined;

function byteLevelBpe(file: GgufFile, tokens: readonly string[], get: Get): object {
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
      merges: merges.map((merge) => {
        // The right part never holds a space at its start: bytes are spelled with printable letters.
        const cut = merge.indexOf(' ', 1);
        return [merge.slice(0, cut), merge.slice(cut + 1)];
      }),
    },
  };
}

/**
 * SentencePiece BPE: pieces with scores. Merges are all pairs of pieces whose concatenation is a piece, best score first,
 * which is how transformers converts such models.
 */
function sentencePieceBpe(_file: GgufFile, tokens: readonly string[], get: Get): object {
  const scores = get<number[]>('scores') ?? [];
  const vocab = new Map(tokens.map((token, id) => [token, id]));
  const merges: { pair: [string, string]; score: number; left: number; right: number }[] = [];
  for (const [piece, id] of vocab) {
    for (let cut = 1; cut < piece.length; cut++) {
      const left = vocab.get(piece.slice(0, cut));
      const right = vocab.get(piece.slice(cut));
      if (left === undefined || right === undefined) continue;
      merges.push({ pair: [piece.slice(0, cut), piece.slice(cut)], score: scores[id] ?? 0, left, right });
    }
  }
  merges.sort((a, b) => b.score - a.score || a.left - b.left || a.right - b.right);
  const prefix = get<boolean>('add_space_prefix') ?? true;
  const unknown = get<number>('unknown_token_id');
  return {
    normalizer: {
      type: 'Sequence',
      normalizers: [
        ...(prefix ? [{ type: 'Prepend', prepend: '\u2581' }] : []),
        { type: 'Replace', pattern: { String: ' ' }, content: '\u2581' },
      ],
    },
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '\u2581' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: unknown === undefined ? null : tokens[unknown],
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: Object.fromEntries(vocab),
      merges: merges.map(({ pair }) => pair),
    },
  };
}

/** Puts the beginning-of-text token before every text, when the file asks for it. */
function bosProcessor(add: boolean, content: string | undefined, id: number | undefined): object | null {
  if (!add || content === undefined || id === undefined) return null;
  const bos = { SpecialToken: { id: content, type_id: 0 } };
  return {
    type: 'TemplateProcessing',
    single: [bos, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [
      bos,
      { Sequence: { id: 'A', type_id: 0 } },
      { ...bos, SpecialToken: { id: content, type_id: 1 } },
      { Sequence: { id: 'B', type_id: 1 } },
    ],
    special_tokens: { [content]: { id: content, ids: [id], tokens: [content] } },
  };
}

function definedOnly(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
