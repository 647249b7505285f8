import { Tokenizer } from '@largeforge/engine';
import { expect, test } from 'vitest';
import { seededRandom } from '../neural/linear-classifier.js';
import { WordPieces } from './word-piece.js';

const pieces = [
  '[PAD]',
  '[UNK]',
  '[CLS]',
  '[SEP]',
  '[MASK]',
  'play',
  '##ing',
  'un',
  '##play',
  '##able',
  'cafe',
  'a',
  '##a',
];
const letters = [...'bcdefghijklmnopqrstuvwxyz0123456789.,!?\'"()-/$@#%&+<>[]{}|~^_`'];
const vocabulary = [...pieces, ...letters, ...letters.slice(0, 20).map((letter) => `##${letter}`)];
const special = (id: number) => ({
  id,
  content: vocabulary[id]!,
  special: true,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
});
const template = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
const tokenizer = {
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: [0, 1, 2, 3, 4].map(special),
  normalizer: {
    type: 'BertNormalizer',
    clean_text: true,
    handle_chinese_chars: true,
    strip_accents: null,
    lowercase: true,
  },
  pre_tokenizer: { type: 'BertPreTokenizer' },
  post_processor: {
    type: 'TemplateProcessing',
    single: [template('[CLS]'), { Sequence: { id: 'A', type_id: 0 } }, template('[SEP]')],
    pair: [template('[CLS]'), { Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
    special_tokens: {
      '[CLS]': { id: '[CLS]', ids: [2], tokens: ['[CLS]'] },
      '[SEP]': { id: '[SEP]', ids: [3], tokens: ['[SEP]'] },
    },
  },
  decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
  model: {
    type: 'WordPiece',
    unk_token: '[UNK]',
    continuing_subword_prefix: '##',
    max_input_chars_per_word: 20,
    vocab: Object.fromEntries(vocabulary.map((piece, id) => [piece, id])),
  },
};
const library = Tokenizer.from({ tokenizer, config: {} });
const own = WordPieces.of({ tokenizer })!;

test('cuts words as the tokenizers library does', async () => {
  const texts = [
    'playing unplayable Café, CAFÉ!',
    '  two\tspaces\r\nand lines ',
    "don't (really) [stop] $5.99 a@b.c #1",
    'Ångström İstanbul ß Žižek naïve',
    'a'.repeat(20),
    'a'.repeat(21),
    '',
  ];
  for (const text of texts) expect(own.encode(text), text).toEqual(await library.encode(text));
});

test('cuts 500 random texts as the library does', async () => {
  const random = seededRandom(3);
  const alphabet = [...' \t\nplayingunABCéÖñ.,!?-[]#$a0~', '\u01c4', '\u0130'];
  for (let i = 0; i < 500; i++) {
    const text = Array.from(
      { length: 1 + Math.floor(random() * 60) },
      () => alphabet[Math.floor(random() * alphabet.length)]!,
    ).join('');
    expect(own.encode(text), JSON.stringify(text)).toEqual(await library.encode(text));
  }
});

test('leaves other scripts, and texts with special tokens in them, to the library', () => {
  for (const text of ['今天', 'привет', 'emoji 🙂', 'play [SEP] a', 'zero\u200bwidth'])
    expect(own.encode(text)).toBeUndefined();
});

test('stops reading at the limit, and ends what was read', () => {
  expect(own.encode('play play play play', 3)).toEqual(Int32Array.of(2, 5, 5, 3));
});

test('knows no other tokenizers', () => {
  expect(WordPieces.of(undefined)).toBeUndefined();
  expect(WordPieces.of({ tokenizer: { ...tokenizer, pre_tokenizer: { type: 'Whitespace' } } })).toBeUndefined();
  const cased = { ...tokenizer, normalizer: { ...tokenizer.normalizer, lowercase: false } };
  expect(WordPieces.of({ tokenizer: cased })).toBeUndefined();
});
