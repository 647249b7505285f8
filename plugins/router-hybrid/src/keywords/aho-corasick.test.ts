import { expect, test } from 'vitest';
import { seededRandom } from '../neural/linear-classifier.js';
import { AhoCorasick } from './aho-corasick.js';

function found(patterns: readonly string[], text: string): string[] {
  const matches: string[] = [];
  new AhoCorasick(patterns).search(text, (pattern, start, end) => matches.push(`${pattern}:${start}-${end}`));
  return matches.sort();
}

/** Every pattern at every place, compared letter by letter. */
function naive(patterns: readonly string[], text: string): string[] {
  const matches: string[] = [];
  patterns.forEach((pattern, index) => {
    for (let at = text.indexOf(pattern); at >= 0; at = text.indexOf(pattern, at + 1)) {
      matches.push(`${index}:${at}-${at + pattern.length}`);
    }
  });
  return matches.sort();
}

test('finds patterns that overlap, and that end inside others', () => {
  expect(found(['he', 'she', 'his', 'hers'], 'ushers')).toEqual(['0:2-4', '1:1-4', '3:2-6']);
});

test('reports equal patterns each', () => expect(found(['a', 'a'], 'a')).toEqual(['0:0-1', '1:0-1']));

test('finds what a naive search finds, on 200 random texts of two letters', () => {
  const random = seededRandom(7);
  const word = (length: number) => Array.from({ length }, () => (random() < 0.5 ? 'a' : 'b')).join('');
  for (let i = 0; i < 200; i++) {
    const patterns = Array.from({ length: 12 }, () => word(1 + Math.floor(random() * 6)));
    const text = word(40);
    expect(found(patterns, text)).toEqual(naive(patterns, text));
  }
});

test('an empty pattern is refused: it would match everywhere', () => {
  expect(() => new AhoCorasick(['a', ''])).toThrow('pattern 1 is empty');
});
