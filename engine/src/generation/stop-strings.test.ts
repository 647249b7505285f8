import { describe, expect, it } from 'vitest';
import { seeded } from './random.fixture.js';
import { StopStrings } from './stop-strings.js';

/** Feeds `text` cut at the given places and returns what was emitted. */
function run(stops: string[], text: string, cuts: number[]): { text: string; stop?: string } {
  const detector = new StopStrings(stops);
  let out = '';
  let from = 0;
  for (const cut of [...cuts, text.length]) {
    const result = detector.push(text.slice(from, cut));
    out += result.text;
    if (result.stop !== undefined) return { text: out, stop: result.stop };
    from = cut;
  }
  return { text: out + detector.flush() };
}

/** The definition: the earliest match in the whole text, the longest of those that start there. */
function expected(stops: string[], text: string): { text: string; stop?: string } {
  let best: { at: number; stop: string } | undefined;
  for (const stop of stops) {
    const at = text.indexOf(stop);
    if (at >= 0 && (!best || at < best.at || (at === best.at && stop.length > best.stop.length))) best = { at, stop };
  }
  return best ? { text: text.slice(0, best.at), stop: best.stop } : { text };
}

describe('stop strings', () => {
  it('emits nothing of a stop string that arrives in pieces', () => {
    expect(run(['\n\nUser:'], 'hello\n\nUser: hi', [1, 6, 7, 9, 11])).toEqual({ text: 'hello', stop: '\n\nUser:' });
  });

  it('gives back what only looked like a stop string', () => {
    const detector = new StopStrings(['END']);
    expect(detector.push('the E')).toEqual({ text: 'the ' });
    expect(detector.push('N')).toEqual({ text: '' });
    expect(detector.push('ough')).toEqual({ text: 'ENough' });
    expect(detector.push(' EN')).toEqual({ text: ' ' });
    expect(detector.flush()).toBe('EN');
  });

  it('never withholds text when there are no stop strings', () => {
    expect(new StopStrings(['']).push('abc')).toEqual({ text: 'abc' });
  });

  it('agrees with a search of the whole text when no match overlaps another cut, for any cut of one stop string', () => {
    const alphabet = 'aab';
    const random = seeded(7);
    for (let round = 0; round < 3000; round++) {
      const text = Array.from({ length: random(12) + 1 }, () => alphabet[random(3)]).join('');
      const stop = Array.from({ length: random(4) + 1 }, () => alphabet[random(3)]).join('');
      const cuts = Array.from({ length: text.length }, (_, i) => i + 1).filter(() => random(2) === 0);
      expect(run([stop], text, cuts)).toEqual(expected([stop], text));
    }
  });
});
