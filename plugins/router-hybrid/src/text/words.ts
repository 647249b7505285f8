/** A word of a text: its normalised form and where it stands in the normalised text, in UTF-16 units. */
export interface Word {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** Letters, marks and digits make words, and the joiners inside them; apostrophes and hyphens are between words. */
const wordPattern = /[\p{L}\p{M}\p{N}]+(?:[\u200c\u200d][\p{L}\p{M}\p{N}]+)*/gu;

/** Scripts that put no spaces between words. Their runs are cut by a dictionary (ICU's, by way of Intl.Segmenter). */
const unspaced =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;

let segmenter: Intl.Segmenter | undefined;

/** The words of a run of letters with such a script in it, with where they start in the run. */
function segments(run: string): Iterable<{ readonly segment: string; readonly index: number }> {
  segmenter ??= new Intl.Segmenter('und', { granularity: 'word' });
  return segmenter.segment(run);
}

/** NFKC takes the vowels AM of Thai and Lao apart, and no dictionary has them so. */
const takenApart: readonly (readonly [parts: string, whole: string])[] = [
  ['\u0e4d\u0e32', '\u0e33'],
  ['\u0ecd\u0eb2', '\u0eb3'],
];

/**
 * Two spellings of one text become one: compatibility forms folded (NFKC), case folded, typographic apostrophes made
 * plain. The length may change; positions of words and matches are positions in the result.
 */
export function normalize(text: string): string {
  let folded = text.normalize('NFKC').toLowerCase();
  for (const [parts, whole] of takenApart) folded = folded.replaceAll(parts, whole);
  return folded.replaceAll('\u2019', "'");
}

/** The last text and its words: keywords, n-grams and the analysis of a query ask for the same. */
let last: { readonly text: string; readonly words: readonly Word[] } | undefined;

/** The words of a normalised text, in order. */
export function wordsOf(normalized: string): readonly Word[] {
  if (last?.text !== normalized) last = { text: normalized, words: segmented(normalized) };
  return last.words;
}

function segmented(normalized: string): Word[] {
  const words: Word[] = [];
  for (const match of normalized.matchAll(wordPattern)) {
    const [text] = match;
    if (!unspaced.test(text)) {
      words.push({ text, start: match.index, end: match.index + text.length });
      continue;
    }
    for (const { segment, index } of segments(text)) {
      const start = match.index + index;
      words.push({ text: segment, start, end: start + segment.length });
    }
  }
  return words;
}

/** Where words begin and end in a normalised text: a bit at each boundary, 1 for a start, 2 for an end. */
export function wordBoundaries(normalized: string): Uint8Array {
  const marks = new Uint8Array(normalized.length + 1);
  for (const { start, end } of wordsOf(normalized)) {
    marks[start]! |= 1;
    marks[end]! |= 2;
  }
  return marks;
}
