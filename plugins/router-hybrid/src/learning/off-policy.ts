/** A decision whose outcome is known, made by a policy that chose at random with known probabilities. */
export interface LoggedChoice {
  readonly expert: string;
  /** Probability with which the logging policy chose this expert. */
  readonly propensity: number;
  /** How good the answer was, 0 to 1. */
  readonly score: number;
}

export interface PolicyEstimate {
  /** Expected score of the policy. */
  readonly value: number;
  /** 95 % interval. */
  readonly interval: readonly [number, number];
  /** How many decisions the estimate is worth (Kish): few when the policies hardly agree. */
  readonly effectiveDecisions: number;
}

/** Weights above it say more about luck than about the policy. */
const largestWeight = 20;

/**
 * What a policy would have scored on logged decisions: self-normalised inverse propensity scoring (Swaminathan and
 * Joachims 2015) with clipped weights. Undefined when the policies never agree.
 * @param probability with which the policy in question would choose the logged expert
 */
export function estimatePolicy<Choice extends LoggedChoice>(
  log: readonly Choice[],
  probability: (choice: Choice) => number,
): PolicyEstimate | undefined {
  const weights = log.map((choice) => Math.min(largestWeight, probability(choice) / choice.propensity));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (total === 0) return undefined;
  const value = log.reduce((sum, { score }, i) => sum + weights[i]! * score, 0) / total;
  // The delta method for a ratio of sums.
  const spread = log.reduce((sum, { score }, i) => sum + (weights[i]! * (score - value)) ** 2, 0);
  const error = Math.sqrt(spread) / total;
  const squares = weights.reduce((sum, weight) => sum + weight * weight, 0);
  return {
    value,
    interval: [value - 1.96 * error, value + 1.96 * error],
    effectiveDecisions: (total * total) / squares,
  };
}
