import type { Expert } from '../router/expert.js';
import type { Router } from '../router/router.js';
import type { RoutedText } from './rows.js';

/** How a router decided on rows whose expert is known. */
export interface Evaluation {
  readonly rows: number;
  /** Share of all rows that were decided rightly; for a row of no expert that is null. */
  readonly accuracy: number;
  /** Share of the rows of an expert that went to it; those turned away count as errors. NaN without such rows. */
  readonly inScopeAccuracy: number;
  /** Share of the rows of no expert that were turned away. NaN without such rows. */
  readonly outOfScopeRecall: number;
  /** Time of a decision in milliseconds, one at a time. */
  readonly p50: number;
  readonly p99: number;
  /** How often a row of the first was given to the second; null is no expert. */
  readonly confusion: ReadonlyMap<string | null, ReadonlyMap<string | null, number>>;
}

/** Decides on every row, one after the other as requests come, and compares. */
export async function evaluateRouter(
  router: Router,
  rows: readonly RoutedText[],
  experts: readonly Expert[],
  signal?: AbortSignal,
): Promise<Evaluation> {
  await router.prepare(experts);
  const confusion = new Map<string | null, Map<string | null, number>>();
  const times: number[] = [];
  let [right, inside, insideRight, outsideRight] = [0, 0, 0, 0];
  for (const { text, expert } of rows) {
    signal?.throwIfAborted();
    const start = performance.now();
    const decision = await router.decide(text, { experts });
    times.push(performance.now() - start);
    const correct = decision.expert === expert;
    right += Number(correct);
    if (expert === null) outsideRight += Number(correct);
    else {
      inside++;
      insideRight += Number(correct);
    }
    const row = confusion.get(expert) ?? new Map<string | null, number>();
    confusion.set(expert, row);
    row.set(decision.expert, (row.get(decision.expert) ?? 0) + 1);
  }
  return {
    rows: rows.length,
    accuracy: right / rows.length,
    inScopeAccuracy: insideRight / inside,
    outOfScopeRecall: outsideRight / (rows.length - inside),
    p50: percentile(times, 0.5),
    p99: percentile(times, 0.99),
    confusion,
  };
}

/** The smallest value that a share of the values does not exceed. NaN of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
