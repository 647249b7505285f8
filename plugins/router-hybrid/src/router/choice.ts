import type { ExpertLoad } from './expert.js';

export interface ChoiceSettings {
  /** A preferred expert is taken unless another's confidence is higher by more than this. */
  readonly preferMargin: number;
  /** A conversation stays with its expert unless another's confidence is higher by more than this. */
  readonly stickyMargin: number;
  /** Experts whose confidence is lower than the best one's by at most this are chosen among by load. */
  readonly nearEqual: number;
}

export const defaultChoice: ChoiceSettings = { preferMargin: 0.5, stickyMargin: 0.2, nearEqual: 0.05 };

export interface ChoiceInput {
  readonly prefer?: string;
  readonly sticky?: string;
  readonly certain?: string;
  readonly load?: ReadonlyMap<string, ExpertLoad>;
  readonly threshold: (expert: string) => number;
}

export interface Choice {
  readonly expert: string | null;
  readonly confidence: number;
  /** Why this expert: a rule that is certain, the caller's wish, the conversation so far, the load, or its confidence. */
  readonly reason: 'certain' | 'preferred' | 'sticky' | 'load' | 'best' | 'out-of-scope' | 'no-experts';
}

/**
 * Chooses among experts by confidence. In this order: a keyword rule that is certain; the preferred expert; the
 * conversation's expert; the least loaded of those that are nearly as likely as the best and reach their thresholds.
 * Nobody when the best ones do not reach their thresholds.
 * @param scores sorted, the highest confidence first
 */
export function chooseExpert(
  scores: readonly { readonly expert: string; readonly confidence: number }[],
  { prefer, sticky, certain, load, threshold }: ChoiceInput,
  { preferMargin, stickyMargin, nearEqual }: ChoiceSettings = defaultChoice,
): Choice {
  const best = scores[0];
  if (!best) return { expert: null, confidence: 0, reason: 'no-experts' };
  const named = (name: string | undefined) => (name === undefined ? undefined : scores.find((s) => s.expert === name));
  const pinned = named(certain);
  if (pinned) return { ...pinned, reason: 'certain' };
  const wanted = named(prefer);
  if (wanted && best.confidence - wanted.confidence <= preferMargin) return { ...wanted, reason: 'preferred' };
  const kept = named(sticky);
  if (kept && best.confidence - kept.confidence <= stickyMargin) return { ...kept, reason: 'sticky' };
  const fit = scores.filter(
    ({ expert, confidence }) => confidence >= threshold(expert) && best.confidence - confidence <= nearEqual,
  );
  if (fit.length === 0) return { expert: null, confidence: best.confidence, reason: 'out-of-scope' };
  const waiting = (name: string) => load?.get(name) ?? { load: 0 };
  let chosen = fit[0]!;
  for (const other of fit.slice(1)) {
    const [a, b] = [waiting(chosen.expert), waiting(other.expert)];
    const sooner = b.load < a.load || (b.load === a.load && (b.latencyMs ?? 0) < (a.latencyMs ?? 0) * 0.8);
    if (sooner) chosen = other;
  }
  return { ...chosen, reason: chosen === best ? 'best' : 'load' };
}
