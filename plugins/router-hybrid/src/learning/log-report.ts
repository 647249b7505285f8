import { readFileSync } from 'node:fs';
import { reasonOf } from '@largeforge/core';
import { z } from 'zod';
import { routerErrors } from '../errors.js';
import { percentile } from '../training/evaluation.js';
import { type Comparison, compare, figuresOf } from './experiment.js';
import { estimatePolicy, type PolicyEstimate } from './off-policy.js';

const decisionSchema = z.object({
  type: z.literal('decision'),
  id: z.string(),
  /** The query, where the log keeps queries as they are. */
  text: z.string().optional(),
  expert: z.string().nullable(),
  confidence: z.number().default(0),
  /** Of that expert, before feedback moved it. */
  threshold: z.number().optional(),
  reason: z.string().optional(),
  milliseconds: z.number(),
  arm: z.string().optional(),
  propensity: z.number().positive().max(1).default(1),
  /** Whom the policy would have chosen without exploring. */
  greedy: z.string().nullable().optional(),
});
const feedbackSchema = z.object({
  type: z.literal('feedback'),
  decision_id: z.string(),
  score: z.number(),
  expert: z.string().nullish(),
});
const entrySchema = z.discriminatedUnion('type', [decisionSchema, feedbackSchema]);

/** A decision of a log, with what was said of it. */
export type LoggedOutcome = z.output<typeof decisionSchema> & {
  readonly score?: number;
  /** Who should have answered, where the feedback tells. */
  readonly meant?: string | null;
};

export interface GroupReport {
  readonly decisions: number;
  readonly p99: number;
  readonly scored: number;
  /** NaN without scores. */
  readonly meanScore: number;
}

export interface LogReport {
  readonly experts: ReadonlyMap<string | null, GroupReport>;
  readonly arms: ReadonlyMap<string, GroupReport>;
  /** Each arm against the first by name, where both have scores. */
  readonly comparisons: ReadonlyMap<string, Comparison>;
  /** What the scores would be without exploration, estimated from what was explored. */
  readonly withoutExploration?: PolicyEstimate;
}

/** Reads a decision log; the last feedback on a decision counts. A last line that a crash cut is left out. Throws LF_ROUTER_LOG with the line. */
export function readDecisions(file: string): LoggedOutcome[] {
  let content: string;
  try {
    content = readFileSync(file, 'utf8');
  } catch (error) {
    throw routerErrors.LF_ROUTER_FILE_UNREADABLE({ file, reason: reasonOf(error) }, { cause: error });
  }
  const decisions: z.output<typeof decisionSchema>[] = [];
  const feedback = new Map<string, z.output<typeof feedbackSchema>>();
  const lines = content.split('\n');
  // What follows the last line's end was being written when the process was killed.
  for (const [index, line] of lines.slice(0, -1).entries()) {
    if (line.trim() === '') continue;
    let entry: z.output<typeof entrySchema>;
    try {
      entry = entrySchema.parse(JSON.parse(line));
    } catch (error) {
      throw routerErrors.LF_ROUTER_LOG({ file, line: index + 1, reason: reasonOf(error) }, { cause: error });
    }
    if (entry.type === 'decision') decisions.push(entry);
    else feedback.set(entry.decision_id, entry);
  }
  return decisions.map((decision) => {
    const said = feedback.get(decision.id);
    return {
      ...decision,
      ...(said && { score: said.score, ...(said.expert !== undefined && { meant: said.expert }) }),
    };
  });
}

/** How the decisions of a log went: by expert, by arm, and what exploring cost. */
export function reportOn(decisions: readonly LoggedOutcome[]): LogReport {
  const experts = grouped(decisions, ({ expert }) => expert);
  const arms = grouped(
    decisions.filter(({ arm }) => arm !== undefined),
    ({ arm }) => arm!,
  );
  const comparisons = new Map<string, Comparison>();
  const [control, ...others] = [...arms.keys()].sort();
  for (const arm of others) {
    const [a, b] = [scoresOf(arms.get(control!)!), scoresOf(arms.get(arm)!)];
    if (a.length > 1 && b.length > 1) comparisons.set(arm, compare(figuresOf(a), figuresOf(b)));
  }
  const explored = decisions.flatMap(({ expert, greedy, propensity, score }) =>
    expert !== null && greedy !== undefined && score !== undefined ? [{ expert, greedy, propensity, score }] : [],
  );
  const without = estimatePolicy(explored, ({ expert, greedy }) => Number(expert === greedy));
  const reports = <Key>(groups: ReadonlyMap<Key, readonly LoggedOutcome[]>) =>
    new Map([...groups].map(([key, group]) => [key, reportOf(group)]));
  return {
    experts: reports(experts),
    arms: reports(arms),
    comparisons,
    ...(without && { withoutExploration: without }),
  };
}

function reportOf(group: readonly LoggedOutcome[]): GroupReport {
  const scores = scoresOf(group);
  return {
    decisions: group.length,
    p99: percentile(
      group.map(({ milliseconds }) => milliseconds),
      0.99,
    ),
    scored: scores.length,
    meanScore: figuresOf(scores).mean,
  };
}

const scoresOf = (group: readonly LoggedOutcome[]): number[] => group.flatMap(({ score }) => score ?? []);

function grouped<Key>(
  decisions: readonly LoggedOutcome[],
  keyOf: (decision: LoggedOutcome) => Key,
): Map<Key, LoggedOutcome[]> {
  const groups = new Map<Key, LoggedOutcome[]>();
  for (const decision of decisions) {
    const key = keyOf(decision);
    const group = groups.get(key);
    if (group) group.push(decision);
    else groups.set(key, [decision]);
  }
  return groups;
}
