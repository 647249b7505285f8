import { formatErrors } from '../errors.js';
import type { GgufFile } from '../gguf/read.js';
import { type TokenizerSource, tokenizerOfText } from '../model-source.js';
import { byteLevelBpe } from './byte-level.js';
import type { TokenizerField } from './field.js';
import { sentencePieceBpe } from './sentence-piece.js';
import { wordPiece } from './word-piece.js';

/** How a tokenizer.json is made of a vocabulary, by `tokenizer.ggml.model`; and whether it begins texts unless told. */
const MODELS: Readonly<
  Record<string, { build: (file: GgufFile, tokens: readonly string[], get: TokenizerField) => object; begins: boolean }>
> = {
  gpt2: { build: byteLevelBpe, begins: false },
  llama: { build: sentencePieceBpe, begins: true },
  bert: { build: wordPiece, begins: true },
};

/** ggml's kinds of tokens. */
const NORMAL = 1;
const CONTROL = 3;
const USER_DEFINED = 4;

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
  const added: object[] = [];
  for (const [id, content] of tokens.entries()) {
    const type = types[id] ?? NORMAL;
    if (type !== CONTROL && type !== USER_DEFINED) continue;
    const special = type === CONTROL;
    added.push({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special });
  }
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
      ...(model === 'bert' && {
        cls_token: content('cls'),
        sep_token: content('seperator'),
        mask_token: content('mask'),
      }),
      add_bos_token: get<boolean>('add_bos_token'),
      add_eos_token: get<boolean>('add_eos_token'),
    }),
  };
  const kind = Object.hasOwn(MODELS, model) ? MODELS[model] : undefined;
  if (!kind) {
    const reason = `its tokenizer is of type "${model}"; known: ${Object.keys(MODELS).join(', ')}`;
    throw formatErrors.FILE_UNSUPPORTED({ path: file.path, reason });
  }
  const special = (...keys: string[]) => {
    const id = keys.map((key) => get<unknown>(`${key}_token_id`)).find((found) => typeof found === 'number');
    return typeof id === 'number' && id in tokens ? { id, content: tokens[id]! } : undefined;
  };
  const isBert = model === 'bert';
  const begin =
    (get<boolean>('add_bos_token') ?? kind.begins) ? special(...(isBert ? ['cls', 'bos'] : ['bos'])) : undefined;
  // The format's own spelling of separator.
  const end = isBert ? special('seperator', 'eos') : get<boolean>('add_eos_token') ? special('eos') : undefined;
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    ...kind.build(file, tokens, get),
    post_processor: surround(begin, end),
  };
  return tokenizerOfText(JSON.stringify(tokenizer), tokenizer, { config, chatTemplate });
}

interface SpecialToken {
  readonly id: number;
  readonly content: string;
}

/** Puts tokens before and after every text. */
function surround(begin: SpecialToken | undefined, end: SpecialToken | undefined): object | null {
  if (!begin && !end) return null;
  const place = (token: SpecialToken | undefined, type: number) =>
    token ? [{ SpecialToken: { id: token.content, type_id: type } }] : [];
  const text = (id: 'A' | 'B', type: number) => ({ Sequence: { id, type_id: type } });
  const single = [...place(begin, 0), text('A', 0), ...place(end, 0)];
  // BERT begins a pair once, the others each text of it.
  const second = [...(end && begin?.content === '[CLS]' ? [] : place(begin, 1)), text('B', 1), ...place(end, 1)];
  const tokens = [begin, end].filter((token) => token !== undefined);
  return {
    type: 'TemplateProcessing',
    single,
    pair: [...single, ...second],
    special_tokens: Object.fromEntries(
      tokens.map(({ id, content }) => [content, { id: content, ids: [id], tokens: [content] }]),
    ),
  };
}

function definedOnly(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
