import type { Sequence } from './sequence.js';

/**
 * Guesses the next tokens of running sequences. The model computes the guesses in one step together with the token that
 * is due, and draws after each of them as it would without; a guess counts when the draw equals it, and the first draw
 * that differs replaces it. For a guess that is one token and not a distribution this is the acceptance rule of
 * speculative sampling (Leviathan et al. 2023, section 2.3): the text has the model's own distribution. Since a draw
 * depends only on seed and position, it even is the same text, whatever is guessed.
 */
export interface DraftProposer {
  /** Guesses for sequences that are about to draw a token: at most `limit(sequence)` each, none is fine. */
  propose(sequences: readonly Sequence[], limit: (sequence: Sequence) => number): Promise<readonly number[][]>;
  /** The sequence is over. */
  release?(sequence: Sequence): void;
  close?(): void;
}

export interface PromptLookupOptions {
  /** Tokens guessed at once. */
  readonly tokens?: number;
  /** Tokens at the end of the text that must have occurred before: the longest run up to `maxMatch`. */
  readonly minMatch?: number;
  readonly maxMatch?: number;
}

/**
 * Guesses that the text goes on as it did after the last place where its final tokens occurred before (prompt look-up
 * decoding, Saxena 2023; an n-gram version of Yang et al. 2023, "Inference with Reference"). Costs nothing and pays where
 * output repeats its input: summaries, edits, extraction, code.
 */
export class PromptLookup implements DraftProposer {
  private readonly tokens: number;
  private readonly minMatch: number;
  private readonly maxMatch: number;

  constructor({ tokens = 5, minMatch = 2, maxMatch = 4 }: PromptLookupOptions = {}) {
    this.tokens = tokens;
    this.minMatch = minMatch;
    this.maxMatch = maxMatch;
  }

  async propose(sequences: readonly Sequence[], limit: (sequence: Sequence) => number): Promise<readonly number[][]> {
    return sequences.map((sequence) => this.continuation(sequence.tokens, Math.min(this.tokens, limit(sequence))));
  }

  private continuation(tokens: readonly number[], count: number): number[] {
    const end = tokens.length;
    if (count < 1) return [];
    let best = -1;
    let bestLength = this.minMatch - 1;
    for (let at = end - 1; at >= this.minMatch && bestLength < this.maxMatch; at--) {
      // tokens[..at) ends as the text does for `length` tokens.
      let length = 0;
      while (length < this.maxMatch && length < at && tokens[at - 1 - length] === tokens[end - 1 - length]) length++;
      if (length > bestLength) {
        best = at;
        bestLength = length;
      }
    }
    return best < 0 ? [] : tokens.slice(best, best + count);
  }
}
