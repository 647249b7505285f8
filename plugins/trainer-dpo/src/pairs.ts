/** Log-probabilities of a batch of pairs; one element a pair. */
export interface PairLogps {
  /** Log-probabilities of the answers: sums over their tokens, or means where the method says so. */
  readonly chosen: readonly number[];
  readonly rejected: readonly number[];
  /** The reference's; zeros where the method has none. */
  readonly referenceChosen: readonly number[];
  readonly referenceRejected: readonly number[];
  readonly chosenTokens: readonly number[];
  readonly rejectedTokens: readonly number[];
}

/** What a method is told of a batch of pairs. */
export interface PairFigures extends PairLogps {
  /** Cross-entropy of the chosen answers (with their prompts, where the method labels those), a mean over tokens. */
  readonly chosenNll: number;
}

/** What a method makes of a batch: means over its pairs, and derivatives of the mean loss. */
export interface PairJudgement {
  readonly loss: number;
  /** By each log-probability. */
  readonly chosen: readonly number[];
  readonly rejected: readonly number[];
  /** By `chosenNll`; 0 unless given. */
  readonly nll?: number;
  /** Implicit rewards, for the metrics. */
  readonly rewards: { readonly chosen: readonly number[]; readonly rejected: readonly number[] };
  /** Further metrics. */
  readonly metrics?: Readonly<Record<string, number>>;
}

/** A way of learning from pairs. */
export interface PairMethod {
  /** Tells runs apart that must not be resumed by each other: the method with its settings. */
  readonly name: string;
  /** Whether log-probabilities are means over an answer's tokens instead of sums. */
  readonly average: boolean;
  /** Whether the prompts of chosen answers count in `chosenNll`. */
  readonly learnPrompts: boolean;
  /** Weight of the part of an answer that is longer than the other of its pair (LD-DPO, Liu et al. 2024); 1 unless given. */
  readonly tailWeight?: number;
  judge(figures: PairFigures): PairJudgement;
}
