import { normalize, wordsOf } from '../text/words.js';

export interface NgramSettings {
  /** Buckets that n-grams are hashed into; a power of two. */
  readonly buckets: number;
  /** Longest run of words. */
  readonly wordOrder: number;
  /** Shortest and longest run of characters inside a word, its edges marked. */
  readonly characters: readonly [shortest: number, longest: number];
  /** Words of a text that are read; what follows is cut. */
  readonly maxWords: number;
}

export const defaultNgrams: NgramSettings = { buckets: 1 << 18, wordOrder: 2, characters: [3, 5], maxWords: 128 };

const prime = 0x01000193;

/** FNV-1a over UTF-16 units with a final mix (Murmur3's), so that low bits depend on every unit. */
function hash(text: string, seed: number): number {
  let h = (0x811c9dc5 ^ seed) >>> 0;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), prime);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * Counts of a text's n-grams by bucket: runs of words, and runs of characters inside words (the hashing trick, Weinberger
 * et al. 2009, over the n-grams of fastText, Bojanowski et al. 2017). Needs no vocabulary and no download.
 */
export function ngramCounts(text: string, settings: NgramSettings): Map<number, number> {
  const mask = settings.buckets - 1;
  const counts = new Map<number, number>();
  const add = (bucket: number) => counts.set(bucket, (counts.get(bucket) ?? 0) + 1);
  const words = wordsOf(normalize(text)).slice(0, settings.maxWords);
  const [shortest, longest] = settings.characters;
  for (let i = 0; i < words.length; i++) {
    let run = '';
    for (let n = 1; n <= settings.wordOrder && i + n <= words.length; n++) {
      run = n === 1 ? words[i]!.text : `${run} ${words[i + n - 1]!.text}`;
      add(hash(run, n) & mask);
    }
    const marked = `<${words[i]!.text}>`;
    for (let n = shortest; n <= longest; n++) {
      for (let at = 0; at + n <= marked.length; at++) add(hash(marked.slice(at, at + n), 0x100 + n) & mask);
    }
  }
  return counts;
}
