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
  /** How busy an expert is just now. */
  readonly load?: (expert: string) => ExpertLoad | undefined;
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
  const able = fit.map((score) => ({ ...score, ...(load?.(score.expert) ?? { load: 0 }) }));
  const chosen = able.reduce((kept, other) => (rather(other, kept) ? other : kept));
  const { expert, confidence } = chosen;
  return { expert, confidence, reason: chosen === able[0] ? 'best' : 'load' };
}

/** An expert is clearly quicker than another when it takes less than this share of the other's time. */
const quicker = 0.8;

interface Able extends ExpertLoad {
  readonly confidence: number;
}

/** What a request would wait for: the recent time of an answer, by the requests that share the expert. */
const expectedWait = ({ load, next = load + 1, latencyMs }: Able): number | undefined =>
  latencyMs === undefined ? undefined : next * latencyMs;

/**
 * Whether one expert is asked rather than another that is nearly as likely: the one with the clearly shorter wait, by its
 * queue and its times (as Finagle's peak EWMA has it), else the less loaded, else one whose time is not known yet, else
 * the cheaper; of equals, such as copies, the one that was asked longer ago.
 */
function rather(one: Able, other: Able): boolean {
  const [a, b] = [expectedWait(one), expectedWait(other)];
  if (a !== undefined && b !== undefined) {
    if (a < quicker * b) return true;
    if (b < quicker * a) return false;
  }
  if (one.load !== other.load) return one.load < other.load;
  if ((a === undefined) !== (b === undefined)) return a === undefined;
  if (one.cost !== other.cost) return (one.cost ?? 0) < (other.cost ?? 0);
  return one.confidence === other.confidence && (one.lastAsked ?? 0) < (other.lastAsked ?? 0);
}
