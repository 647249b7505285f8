import { Tokenizer } from '@largeforge/engine';

const words = ['<pad>', '<s>', '</s>', '<unk>', '<|user|>', '<|assistant|>', '\n', ' '];
const letters = Array.from({ length: 26 }, (_, i) => String.fromCharCode(97 + i));

/** Renders as `<|user|>q</s>\n<|assistant|>a</s>\n`. */
export const turnTemplate = [
  "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '</s>\\n' }}{% endfor %}",
  "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}",
].join('');

/**
 * A tokenizer of letters, one token each, but for `merged` words, which are one token. Begins texts with <s>; `</s>`
 * ends them.
 */
export function letterTokenizer(merged: readonly string[] = [], chatTemplate: string | null = turnTemplate): Tokenizer {
  const pieces = [...words, ...letters, ...merged];
  const vocab = Object.fromEntries(pieces.map((piece, id) => [piece, id]));
  const specialTokens = ['<pad>', '<s>', '</s>', '<unk>', '<|user|>', '<|assistant|>'];
  const merges = merged.flatMap((word) => (word.length === 2 ? [[word[0], word[1]]] : []));
  return Tokenizer.from(
    {
      tokenizer: {
        version: '1.0',
        truncation: null,
        padding: null,
        added_tokens: specialTokens.map((content) => ({
          id: vocab[content],
          content,
          single_word: false,
          lstrip: false,
          rstrip: false,
          normalized: false,
          special: true,
        })),
        normalizer: null,
        pre_tokenizer: null,
        post_processor: {
          type: 'TemplateProcessing',
          single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
          pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
          special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
        },
        decoder: { type: 'Fuse' },
        model: { type: 'BPE', unk_token: '<unk>', vocab, merges, fuse_unk: false, byte_fallback: false },
      },
      config: { bos_token: '<s>', eos_token: '</s>', pad_token: '<pad>', unk_token: '<unk>' },
      ...(chatTemplate === null ? {} : { chatTemplate }),
    },
    'letters',
    [2],
  );
}
