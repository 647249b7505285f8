import { expect, test } from 'vitest';
import { learnKeywords } from './learn.js';

const rows = [
  { text: 'play some jazz music', label: 'music' },
  { text: 'play the next song', label: 'music' },
  { text: 'more jazz please', label: 'music' },
  { text: 'what is the weather please', label: 'weather' },
  { text: 'will the weather be nice', label: 'weather' },
  { text: 'the rain tomorrow', label: 'weather' },
  { text: 'who was the first president', label: null },
];

test('learns the terms that set an expert apart, and no common words', () => {
  const learned = learnKeywords(rows);
  const terms = (label: string) => learned.get(label)!.map((rule) => rule.term);
  expect(terms('music')).toEqual(expect.arrayContaining(['jazz', 'play']));
  expect(terms('weather')).toEqual(expect.arrayContaining(['weather', 'the weather']));
  expect(terms('weather')).not.toContain('please');
  expect(terms('music')).not.toContain('the');
  expect([...learned.keys()]).toEqual(['music', 'weather']);
});

test('keeps the strongest when there are too many', () => {
  const learned = learnKeywords(rows, { rules: 1 });
  expect(learned.get('weather')!.map((rule) => rule.term)).toEqual(['weather']);
});
