import type { Word } from '../text/words.js';

/** Signs of work in several steps, in the languages that queries are mostly written in. */
const demanding =
  /\b(why|explain|compare|analy[sz]e|derive|prove|design|implement|step by step|trade-?offs?|evaluate|summari[sz]e|refactor|optimi[sz]e|warum|erkläre|vergleiche|pourquoi|explique|por qué|explica)\b/u;
const code = /```|[{};]\s*$|\b(function|class|def|select|import|return)\b.*[({;:]/mu;
const mathematics = /[=+*/^∑∫√≤≥]\s*[\d\w(]|\\(frac|sum|int)|\d\s*[-+*/^]\s*\d/u;

/**
 * How demanding a query looks, 0 to 1, from its surface alone: length (half of the scale at 40 words, by a curve that
 * flattens), sentences, demanding verbs, code, mathematics. A rule of thumb for choosing between a small and a large
 * model; it learns nothing.
 */
export function complexityOf(normalized: string, words: readonly Word[]): number {
  const length = words.length / (words.length + 40);
  const sentences = Math.min(1, (normalized.match(/[.?!。？！](\s|$)|\n/gu)?.length ?? 0) / 8);
  const parts = [
    0.5 * length,
    0.1 * sentences,
    demanding.test(normalized) ? 0.2 : 0,
    code.test(normalized) ? 0.2 : 0,
    mathematics.test(normalized) ? 0.1 : 0,
  ];
  return Math.min(
    1,
    parts.reduce((sum, part) => sum + part, 0),
  );
}
