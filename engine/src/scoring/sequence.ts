/** Tokens of which some are to be scored: those from `from` on, given all before them. */
export interface ScoredSequence {
  readonly tokens: Int32Array;
  /** 1 at least: nothing comes before the first token that could predict it. */
  readonly from: number;
}

export interface SequenceScore {
  /** Natural logarithm of the probability of each scored token. */
  readonly logprobs: Float32Array;
  /** Their sum. */
  readonly logLikelihood: number;
  /** Whether each scored token is the most likely one at its place: greedy decoding would have produced them. */
  readonly greedy: boolean;
}

/** The score of tokens, from their losses and the most likely tokens in their places. */
export function scoreOf(losses: Float32Array, best: Int32Array, targets: Int32Array): SequenceScore {
  let logLikelihood = 0;
  const logprobs = losses.map((loss) => -loss);
  for (const logprob of logprobs) logLikelihood += logprob;
  return { logprobs, logLikelihood, greedy: targets.every((token, i) => best[i] === token) };
}
