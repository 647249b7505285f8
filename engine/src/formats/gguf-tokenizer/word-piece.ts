import type { GgufFile } from '../gguf/read.js';
import type { TokenizerField } from './field.js';

/** What GGUF puts before a piece that begins a word; tokenizer.json puts `##` before the others instead. */
const WORD_START = '\u2581';

/**
 * The WordPiece of BERT (uncased, as llama.cpp has it) as a tokenizer.json. Special tokens keep their names: they begin with
 * a bracket and have no mark.
 */
export function wordPiece(_file: GgufFile, tokens: readonly string[], get: TokenizerField): object {
  const unknown = get<number>('unknown_token_id');
  const pieces = tokens.map((token) => {
    if (token.startsWith(WORD_START)) return token.slice(WORD_START.length);
    return /^\[.+\]$/.test(token) ? token : `##${token}`;
  });
  return {
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: unknown === undefined ? '[UNK]' : pieces[unknown],
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
    },
  };
}
