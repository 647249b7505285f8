import type { Expert } from '../router/expert.js';
import type { Router } from '../router/router.js';
import type { LoggedOutcome } from './log-report.js';
import { estimatePolicy, type PolicyEstimate } from './off-policy.js';

export interface PolicyReplay {
  /** Decisions with a query, an expert and a score. */
  readonly decisions: number;
  /** Share of them that this policy decides alike. */
  readonly agreement: number;
  /** What this policy's answers would score; undefined when it never agrees. */
  readonly estimate?: PolicyEstimate;
}

/** The decisions of a log that a policy can be judged by. */
export type ReplayedDecision = LoggedOutcome & {
  readonly text: string;
  readonly expert: string;
  readonly score: number;
};

export const replayable = (log: readonly LoggedOutcome[]): ReplayedDecision[] =>
  log.filter(
    (entry): entry is ReplayedDecision =>
      entry.text !== undefined && entry.expert !== null && entry.score !== undefined,
  );

/**
 * Decides on the queries of a log again, and estimates what the answers would have scored, from those on which this policy
 * agrees with the log: each counts by how unlikely it was (`estimatePolicy`).
 */
export async function replayPolicy(
  router: Router,
  log: readonly ReplayedDecision[],
  experts: readonly Expert[],
  signal?: AbortSignal,
): Promise<PolicyReplay> {
  const chosen = new Map<string, string | null>();
  const batch = 64;
  for (let at = 0; at < log.length; at += batch) {
    signal?.throwIfAborted();
    const part = log.slice(at, at + batch);
    const decisions = await router.decideAll(
      part.map(({ text }) => text),
      { experts },
    );
    decisions.forEach(({ expert }, i) => {
      chosen.set(part[i]!.id, expert);
    });
  }
  const agrees = ({ id, expert }: ReplayedDecision) => chosen.get(id) === expert;
  const estimate = estimatePolicy(log, (entry) => Number(agrees(entry)));
  return {
    decisions: log.length,
    agreement: log.filter(agrees).length / log.length,
    ...(estimate && { estimate }),
  };
}
