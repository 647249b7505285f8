import { createHash } from 'node:crypto';
import { appendFile } from 'node:fs/promises';
import type { Decision } from '../router/router.js';

/** Whether queries are written down: as they are, or as a hash by which equal ones are known. */
export type QueryLogging = 'hash' | 'text';

export interface LoggedDecision {
  readonly id: string;
  readonly query: string;
  readonly decision: Decision;
  /** Who gets the query: the decision's expert, or the default one. */
  readonly expert: string | null;
  /** The threshold of that expert, before feedback moved it. */
  readonly threshold: number;
  readonly milliseconds: number;
  /** The arm of the experiment that is running. */
  readonly arm?: string | undefined;
  /** Probability with which this expert was chosen, where decisions explore. */
  readonly propensity?: number | undefined;
  /** Whom the policy would have chosen without exploring. */
  readonly greedy?: string | null | undefined;
}

/** How an answer was, told by whoever got it. */
export interface Feedback {
  readonly decision_id: string;
  /** 0 is useless, 1 is perfect. */
  readonly score: number;
  /** The expert that should have answered. */
  readonly expert?: string | null | undefined;
}

/** Writes decisions and feedback as JSON Lines, in the order in which they come. */
export class DecisionLog {
  private writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly file: string,
    private readonly queries: QueryLogging,
    private readonly onError: (error: unknown) => void,
  ) {}

  decided({ id, query, decision, expert, threshold, milliseconds, ...policy }: LoggedDecision): void {
    const { confidence, scores, strategy, reason, analysis } = decision;
    this.write({
      type: 'decision',
      id,
      time: new Date().toISOString(),
      ...(this.queries === 'text'
        ? { text: query }
        : { text_sha256: createHash('sha256').update(query).digest('hex') }),
      expert,
      confidence,
      threshold,
      strategy,
      reason,
      analysis,
      scores: scores.slice(0, 5),
      milliseconds,
      ...policy,
    });
  }

  feedback(feedback: Feedback): void {
    this.write({ type: 'feedback', time: new Date().toISOString(), ...feedback });
  }

  /** Resolves when everything is on the disk. */
  flush(): Promise<void> {
    return this.writing;
  }

  /** A log that cannot be written must not fail a request. */
  private write(entry: object): void {
    const line = `${JSON.stringify(entry)}\n`;
    this.writing = this.writing.then(() => appendFile(this.file, line, { mode: 0o600 })).catch(this.onError);
  }
}
