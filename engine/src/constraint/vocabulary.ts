/** What a grammar needs to know of a tokenizer. */
export interface GrammarVocabulary {
  /** Width of the model's logits; may be larger than the tokenizer's vocabulary. */
  readonly vocabSize: number;
  /** Tokens of the tokenizer. */
  readonly tokens: number;
  /** Tokens that end a text. */
  readonly stopTokenIds: readonly number[];
  tokenBytes(id: number): Uint8Array;
  /** Control tokens: no part of any text. */
  isSpecial(id: number): boolean;
}

/** Every byte as a printable character, as byte-level BPE writes tokens (GPT-2, Radford et al. 2019, encoder.py). */
const BYTE_CHARACTERS: readonly string[] = (() => {
  const printable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : 256 + others++));
})();

/** Tokens that are spelt out in one turn of the event loop. */
const TOKENS_A_TURN = 1024;

/**
 * The vocabulary as byte-level strings, whatever the tokenizer's own way is: bytes that are no UTF-8 cannot be passed in
 * any other. Control tokens are empty, which keeps them out of every text. Others have the event loop in between.
 */
export async function byteLevelVocabulary({ tokens, tokenBytes, isSpecial }: GrammarVocabulary): Promise<string[]> {
  const texts: string[] = [];
  for (let id = 0; id < tokens; id++) {
    if (id % TOKENS_A_TURN === TOKENS_A_TURN - 1) await new Promise<void>((resolve) => setImmediate(resolve));
    let text = '';
    if (!isSpecial(id)) for (const byte of tokenBytes(id)) text += BYTE_CHARACTERS[byte]!;
    texts.push(text);
  }
  return texts;
}
