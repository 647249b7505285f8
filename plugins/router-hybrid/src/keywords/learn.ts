import { normalize, wordsOf } from '../text/words.js';
import type { KeywordRule } from './keyword-strategy.js';

export interface LearnSettings {
  /** Longest phrase in words. */
  readonly order: number;
  /** Rules of one expert at most. */
  readonly rules: number;
  /** Texts of an expert in which a term must occur. */
  readonly minCount: number;
}

const defaults: LearnSettings = { order: 3, rules: 200, minCount: 2 };

/** Spread of the prior, in occurrences by text: rare terms need more of a difference. */
const prior = 0.5;

/**
 * Keyword rules from labelled texts: the words and phrases that an expert's texts have more often than others', weighted
 * by the logarithm of the odds ratio with a prior (Monroe et al. 2008). A list of terms that people can read and change.
 */
export function learnKeywords(
  rows: readonly { readonly text: string; readonly label: string | null }[],
  settings: Partial<LearnSettings> = {},
): Map<string, KeywordRule[]> {
  const { order, rules, minCount } = { ...defaults, ...settings };
  const texts = new Map<string | null, number>();
  const counts = new Map<string | null, Map<string, number>>();
  const total = new Map<string, number>();
  for (const { text, label } of rows) {
    texts.set(label, (texts.get(label) ?? 0) + 1);
    const own = counts.get(label) ?? new Map<string, number>();
    counts.set(label, own);
    for (const term of termsOf(text, order)) {
      own.set(term, (own.get(term) ?? 0) + 1);
      total.set(term, (total.get(term) ?? 0) + 1);
    }
  }
  const learned = new Map<string, KeywordRule[]>();
  for (const [label, own] of counts) {
    if (label === null) continue;
    const size = texts.get(label)!;
    const others = rows.length - size;
    const weighted: { term: string; weight: number; count: number }[] = [];
    for (const [term, count] of own) {
      if (count < minCount) continue;
      const elsewhere = total.get(term)! - count;
      const logOdds = (n: number, of: number) => Math.log((n + prior) / (of - n + prior));
      const weight = logOdds(count, size) - logOdds(elsewhere, others);
      // Below e times the odds elsewhere a term says little, and there are many such terms.
      if (weight > 1) weighted.push({ term, weight: Math.round(weight * 100) / 100, count });
    }
    weighted.sort(
      (a, b) =>
        b.weight * Math.sqrt(b.count) - a.weight * Math.sqrt(a.count) ||
        a.term.length - b.term.length ||
        a.term.length - b.term.length ||
        (a.term < b.term ? -1 : 1),
    );
    learned.set(
      label,
      weighted.slice(0, rules).map(({ term, weight }) => ({ term, weight })),
    );
  }
  return learned;
}

function termsOf(text: string, order: number): Set<string> {
  const normalized = normalize(text);
  const words = wordsOf(normalized);
  const terms = new Set<string>();
  for (let i = 0; i < words.length; i++) {
    for (let n = 1; n <= order && i + n <= words.length; n++) {
      const term = normalized.slice(words[i]!.start, words[i + n - 1]!.end);
      // A phrase across the end of a sentence is none.
      if (!/[.!?;,]/.test(term)) terms.add(term);
    }
  }
  return terms;
}
