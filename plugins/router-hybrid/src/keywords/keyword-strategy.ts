import { routerErrors } from '../errors.js';
import { normalize, wordBoundaries } from '../text/words.js';
import { AhoCorasick } from './aho-corasick.js';

/** A term that speaks for an expert, or against it. */
export interface KeywordRule {
  /** A word or a phrase, found at word boundaries whatever its case and the white space between its words. */
  readonly term?: string;
  /** Instead of `term`: a regular expression, on the normalised text (lower case, single spaces), flags `u` and `i`. */
  readonly pattern?: string;
  /** Evidence for the expert; below 0 it speaks against it. 1 unless given. */
  readonly weight?: number;
  /** This rule alone decides: no other strategy is asked. */
  readonly certain?: boolean;
  /** Found inside words too (`term` only). */
  readonly partial?: boolean;
}

/** A rule that a query matched. */
export interface KeywordMatch {
  readonly expert: string;
  readonly rule: KeywordRule;
  readonly start: number;
  readonly end: number;
}

export interface KeywordScores {
  /** Share of the evidence by expert, 0 to 1; experts without a match are absent. */
  readonly confidences: ReadonlyMap<string, number>;
  readonly matches: readonly KeywordMatch[];
  /** The expert of the heaviest rule that is certain. */
  readonly certain?: string;
}

interface Entry {
  readonly expert: string;
  readonly rule: KeywordRule;
}

/** Power of evidence: what many weak terms say for many experts should not drown what strong ones say for one. */
const sharpness = 2;

/**
 * Routes by terms. An expert's evidence is the sum of the weights of its rules that match, each rule once; its confidence
 * is the square of its evidence over the sum of all experts' squares plus one: one term of weight 1 gives 0.5, two 0.8.
 * Building takes time with the number of rules; a decision does not.
 */
export class KeywordStrategy {
  private readonly terms: Entry[] = [];
  private readonly patterns: (Entry & { readonly expression: RegExp })[] = [];
  private readonly automaton: AhoCorasick;

  /** @param rules by expert. Throws LF_ROUTER_KEYWORD_RULE. */
  constructor(rules: ReadonlyMap<string, readonly KeywordRule[]>) {
    const texts: string[] = [];
    for (const [expert, list] of rules) {
      list.forEach((rule, index) => {
        if (rule.pattern !== undefined && rule.term === undefined) {
          this.patterns.push({ expert, rule, expression: compile(expert, index, rule.pattern) });
          return;
        }
        const text = folded(rule.term ?? '').trim();
        if (text === '' || rule.pattern !== undefined) {
          throw routerErrors.LF_ROUTER_KEYWORD_RULE({
            expert,
            index,
            reason: rule.pattern === undefined ? 'it has no text' : 'it has both "term" and "pattern"',
          });
        }
        this.terms.push({ expert, rule });
        texts.push(text);
      });
    }
    this.automaton = new AhoCorasick(texts);
  }

  /** How many rules there are. */
  get size(): number {
    return this.terms.length + this.patterns.length;
  }

  score(text: string): KeywordScores {
    const normalized = folded(text);
    const matches = this.match(normalized);
    const evidence = new Map<string, number>();
    let certain: KeywordMatch | undefined;
    for (const match of matches) {
      const { expert, rule } = match;
      evidence.set(expert, (evidence.get(expert) ?? 0) + (rule.weight ?? 1));
      if (rule.certain && (certain === undefined || (rule.weight ?? 1) > (certain.rule.weight ?? 1))) certain = match;
    }
    let total = 1;
    for (const weight of evidence.values()) total += Math.max(0, weight) ** sharpness;
    const confidences = new Map<string, number>();
    for (const [expert, weight] of evidence) if (weight > 0) confidences.set(expert, weight ** sharpness / total);
    const sure = certain && (evidence.get(certain.expert) ?? 0) > 0 ? certain.expert : undefined;
    return { confidences, matches, ...(sure !== undefined && { certain: sure }) };
  }

  private match(normalized: string): KeywordMatch[] {
    const marks = wordBoundaries(normalized);
    const seen = new Set<number>();
    const matches: KeywordMatch[] = [];
    this.automaton.search(normalized, (index, start, end) => {
      if (seen.has(index)) return;
      const { expert, rule } = this.terms[index]!;
      if (!rule.partial && !standsAlone(normalized, marks, start, end)) return;
      seen.add(index);
      matches.push({ expert, rule, start, end });
    });
    for (const { expert, rule, expression } of this.patterns) {
      const match = expression.exec(normalized);
      if (match) matches.push({ expert, rule, start: match.index, end: match.index + match[0].length });
    }
    return matches;
  }
}

/** Whether a match does not cut a word at either end. A term may begin or end with a sign, such as "c++". */
function standsAlone(text: string, marks: Uint8Array, start: number, end: number): boolean {
  const cutsBefore = start > 0 && isWordUnit(text, start) && isWordUnit(text, start - 1) && !(marks[start]! & 1);
  const cutsAfter = end < text.length && isWordUnit(text, end - 1) && isWordUnit(text, end) && !(marks[end]! & 2);
  return !cutsBefore && !cutsAfter;
}

/** Letters, marks, digits and joiners, and halves of characters outside of the basic plane, nearly all letters here. */
const isWordUnit = (text: string, at: number): boolean => /[\p{L}\p{M}\p{N}\p{Cs}\u200c\u200d]/u.test(text[at]!);

/** Normalised, with one space wherever there is white space: a phrase may go on in the next line. */
const folded = (text: string): string => normalize(text).replace(/\s+/gu, ' ');

function compile(expert: string, index: number, pattern: string): RegExp {
  try {
    return new RegExp(pattern, 'iu');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw routerErrors.LF_ROUTER_KEYWORD_RULE({ expert, index, reason }, { cause: error });
  }
}
