import type { AdaptiveThresholds } from './adaptive-thresholds.js';
import type { LoggedOutcome } from './log-report.js';
import type { ThompsonSampling } from './thompson-sampling.js';

/** A decision, as far as something can be learned from it. */
export interface LearnableDecision {
  /** Who got the query. */
  readonly expert: string | null;
  /** No expert was confident enough; who got the query stood in. */
  readonly turnedAway: boolean;
  readonly confidence: number;
  /** The expert's threshold, before feedback moved it. */
  readonly threshold: number;
}

/** What was said of an answer. */
export interface Lesson {
  readonly score: number;
  /** The expert that should have answered. */
  readonly expert?: string | null | undefined;
}

/** Those who learn. */
export interface Learners {
  readonly bandit?: ThompsonSampling | undefined;
  readonly adaptive?: AdaptiveThresholds | undefined;
}

/** Teaches the bandit and the thresholds what was said of a decision, live or from the log. */
export function learnFrom(
  { expert, turnedAway, confidence, threshold }: LearnableDecision,
  { score, expert: meant }: Lesson,
  { bandit, adaptive }: Learners,
): void {
  if (turnedAway) {
    if (meant != null) adaptive?.missed(meant);
    return;
  }
  if (expert === null) return;
  // That another expert, or nobody, should have answered says enough of this answer.
  const earned = meant !== undefined && meant !== expert ? 0 : score;
  bandit?.learn(expert, earned);
  adaptive?.answered(expert, earned, confidence, threshold + adaptive.offset(expert));
}

/** Learns again from a decision log what was learned before the server ended. */
export function learnFromLog(log: readonly LoggedOutcome[], learners: Learners): void {
  for (const { expert, confidence, threshold = confidence, reason, score, meant } of log) {
    if (score === undefined) continue;
    const decision = { expert, turnedAway: reason === 'out-of-scope', confidence, threshold };
    learnFrom(decision, { score, expert: meant }, learners);
  }
}
