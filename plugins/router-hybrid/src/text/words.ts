/** A word of a text: its normalised form and where it stands in the normalised text, in UTF-16 units. */
export interface Word {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** Letters, marks and digits make words; an apostrophe or a hyphen between letters belongs to the word's neighbours. */
const wordPattern = /[\p{L}\p{M}\p{N}]+/gu;

/** Scripts that put no spaces between words. Their runs are cut by a dictionary (ICU's, by way of Intl.Segmenter). */
const unspaced =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;

let segmenter: Intl.Segmenter | undefined;

/**
 * Two spellings of one text become one: compatibility forms folded (NFKC), case folded, typographic apostrophes made
 * plain. The length may change; positions of words and matches are positions in the result.
 */
export function normalize(text: string): string {
  const folded = text.normalize('NFKC').toLowerCase();
  return folded.includes('\u2019') ? folded.replaceAll('\u2019', "'") : folded;
}

/** Whether a text has a script that is written without spaces. */
export const hasUnspacedScript = (text: string): boolean => unspaced.test(text);

/** The words of a normalised text, in order. */
export function wordsOf(normalized: string): Word[] {
  const words: Word[] = [];
  for (const match of normalized.matchAll(wordPattern)) {
    const [text] = match;
    if (!unspaced.test(text)) {
      words.push({ text, start: match.index, end: match.index + text.length });
      continue;
    }
    segmenter ??= new Intl.Segmenter('und', { granularity: 'word' });
    for (const part of segmenter.segment(text)) {
      const start = match.index + part.index;
      words.push({ text: part.segment, start, end: start + part.segment.length });
    }
  }
  return words;
}

/**
 * Where words begin and end in a normalised text: a bit at each boundary, 1 for a start, 2 for an end. Inside a run of a
 * script without spaces every character is both, since keywords there are found inside longer runs.
 */
export function wordBoundaries(normalized: string): Uint8Array {
  const marks = new Uint8Array(normalized.length + 1);
  for (const match of normalized.matchAll(wordPattern)) {
    const start = match.index;
    const end = start + match[0].length;
    marks[start]! |= 1;
    marks[end]! |= 2;
    if (!unspaced.test(match[0])) continue;
    for (let i = start; i < end; i++) {
      if (!unspaced.test(normalized[i]!)) continue;
      marks[i]! |= 3;
      marks[i + 1]! |= 3;
    }
  }
  return marks;
}
