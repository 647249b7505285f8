import { z } from 'zod';

/** The parts of a tokenizer.json by which BERT's uncased models cut texts; others are left to the tokenizers library. */
const bertSchema = z.object({
  normalizer: z.object({
    type: z.literal('BertNormalizer'),
    clean_text: z.literal(true),
    strip_accents: z.literal(true).nullish(),
    lowercase: z.literal(true),
  }),
  pre_tokenizer: z.object({ type: z.literal('BertPreTokenizer') }),
  post_processor: z.object({
    type: z.literal('TemplateProcessing'),
    single: z.tuple([
      z.object({ SpecialToken: z.object({ id: z.literal('[CLS]') }) }),
      z.object({ Sequence: z.object({ id: z.literal('A') }) }),
      z.object({ SpecialToken: z.object({ id: z.literal('[SEP]') }) }),
    ]),
  }),
  model: z.object({
    type: z.literal('WordPiece').optional(),
    unk_token: z.literal('[UNK]'),
    continuing_subword_prefix: z.literal('##'),
    max_input_chars_per_word: z.int().positive(),
    vocab: z.record(z.string(), z.int()),
  }),
  added_tokens: z.array(z.object({ content: z.string() })),
});

/** ASCII and Latin letters with accents: what this reads. On other scripts versions of Unicode may differ. */
const readable = /^[\t\n\r\x20-\x7e\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f]*$/;
const accents = /\p{Mn}/gu;
const parts = /[^\s!-/:-@[-`{-~]+|[!-/:-@[-`{-~]/g;

/**
 * Cuts texts of Latin letters into the tokens of BERT's uncased models (WordPiece, Schuster and Nakajima 2012), at once:
 * the tokenizers library does it on another thread, for which a decision would wait.
 */
export class WordPieces {
  private readonly vocabulary: ReadonlyMap<string, number>;

  private constructor(
    vocabulary: Readonly<Record<string, number>>,
    private readonly longestWord: number,
    private readonly added: readonly string[],
  ) {
    this.vocabulary = new Map(Object.entries(vocabulary));
  }

  /** @param source the contents of a tokenizer.json. Undefined when the tokenizer works in another way. */
  static of(source: { readonly tokenizer: unknown } | undefined): WordPieces | undefined {
    const parsed = bertSchema.safeParse(source?.tokenizer);
    if (!parsed.success) return undefined;
    const { model, added_tokens: added } = parsed.data;
    const contents = added.map(({ content }) => content);
    return new WordPieces(model.vocab, model.max_input_chars_per_word, contents);
  }

  /**
   * [CLS], tokens, [SEP]; undefined when the text is not for this class.
   * @param limit tokens after which the rest is not read, [SEP] not counted
   */
  encode(text: string, limit = Number.POSITIVE_INFINITY): Int32Array | undefined {
    if (!readable.test(text) || this.added.some((token) => text.includes(token))) return undefined;
    const ids = [this.vocabulary.get('[CLS]')!];
    for (const [word] of text.normalize('NFD').replace(accents, '').toLowerCase().matchAll(parts)) {
      if (ids.length >= limit) break;
      this.cut(word, ids);
    }
    ids.push(this.vocabulary.get('[SEP]')!);
    return Int32Array.from(ids);
  }

  /** Adds the tokens of a word: the longest known beginning each time, or "unknown" for all of it. */
  private cut(word: string, ids: number[]): void {
    const begun = ids.length;
    for (let start = 0, end = word.length; start < word.length; start = end, end = word.length) {
      let id: number | undefined;
      while (word.length <= this.longestWord && end > start) {
        id = this.vocabulary.get(start > 0 ? `##${word.slice(start, end)}` : word.slice(start, end));
        if (id !== undefined) break;
        end--;
      }
      if (id === undefined) {
        ids.length = begun;
        ids.push(this.vocabulary.get('[UNK]')!);
        return;
      }
      ids.push(id);
    }
  }
}
