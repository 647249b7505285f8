import type { GgufFile } from '../gguf/read.js';
import type { TokenizerField } from './field.js';

/**
 * SentencePiece BPE: pieces with scores. Merges are all pairs of pieces whose concatenation is a piece, best score first,
 * which is how transformers converts such models.
 */
export function sentencePieceBpe(_file: GgufFile, tokens: readonly string[], get: TokenizerField): object {
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
