import type { SequenceScore } from '@largeforge/engine';

const Z95 = 1.959963984540054;

/** What a text is made of, for perplexities that do not depend on the tokenizer. */
export interface TextSize {
  readonly tokens: number;
  readonly words: number;
  readonly bytes: number;
}

export interface PerplexityFigures {
  /** exp of the mean negative log-likelihood of the scored tokens. */
  readonly perplexity: number;
  /** 95 % interval of the perplexity, from how much windows differ; absent for a single window. */
  readonly interval95?: readonly [low: number, high: number];
  /** The same information spread over the words, and over the UTF-8 bytes, of the text. */
  readonly wordPerplexity: number;
  readonly bytePerplexity: number;
  readonly bitsPerByte: number;
  readonly meanNegativeLogLikelihood: number;
  readonly windows: number;
  readonly scoredTokens: number;
}

/**
 * Perplexities of a text from the scores of its windows. Words and bytes share the information of the tokens: where a
 * window's first token is not scored, it counts as an average one.
 */
export function perplexityFigures(scores: readonly SequenceScore[], text: TextSize): PerplexityFigures {
  let scoredTokens = 0;
  let total = 0;
  for (const { logprobs, logLikelihood } of scores) {
    scoredTokens += logprobs.length;
    total -= logLikelihood;
  }
  const mean = total / scoredTokens;
  const nats = mean * text.tokens;
  const error = standardError(scores, mean, scoredTokens);
  return {
    perplexity: Math.exp(mean),
    ...(scores.length > 1 && { interval95: [Math.exp(mean - Z95 * error), Math.exp(mean + Z95 * error)] as const }),
    wordPerplexity: Math.exp(nats / text.words),
    bytePerplexity: Math.exp(nats / text.bytes),
    bitsPerByte: nats / text.bytes / Math.LN2,
    meanNegativeLogLikelihood: mean,
    windows: scores.length,
    scoredTokens,
  };
}

/** Of a ratio of sums over windows (Cochran 1977, 2.42): windows are the independent units, their tokens are not. */
function standardError(scores: readonly SequenceScore[], mean: number, scoredTokens: number): number {
  const count = scores.length;
  const squares = scores.reduce((sum, score) => sum + (score.logLikelihood + mean * score.logprobs.length) ** 2, 0);
  return Math.sqrt((squares / (count - 1)) * count) / scoredTokens;
}

/** Words are what whitespace separates, as lm-evaluation-harness counts them. */
export function textSize(text: string, tokens: number): TextSize {
  return { tokens, words: text.split(/\s+/).length, bytes: Buffer.byteLength(text, 'utf8') };
}
