import { describe, expect, test } from 'vitest';
import type { SentenceEncoder } from '../encoders/sentence-encoder.js';
import { trainRouter } from '../training/train-router.js';
import type { Expert } from './expert.js';
import { Router } from './router.js';

const rows = [
  ...['play some jazz', 'play the next song', 'turn up the radio', 'put on my playlist', 'i want to hear rock'].map(
    (text) => ({ text, expert: 'music' }),
  ),
  ...[
    'will it rain',
    'is there snow tomorrow',
    'how warm is it outside',
    'forecast for friday',
    'do i need an umbrella',
  ].map((text) => ({ text, expert: 'weather' })),
  ...[
    'who was the first president',
    'what is the square root of nine',
    'tell me who won the war',
    'define gravity',
    'how old is the earth',
    'who painted this',
    'when did he die',
    'where is the museum',
    'why do cats purr',
    'who wrote it',
  ].map((text) => ({ text, expert: null })),
];
const experts: Expert[] = [{ name: 'music' }, { name: 'weather' }];

describe('without training', () => {
  const described: Expert[] = [
    {
      name: 'music',
      description: 'plays songs and radio',
      examples: ['play some jazz', 'next song'],
      keywords: [{ term: 'song' }],
    },
    { name: 'weather', description: 'weather forecast, rain and snow', examples: ['will it rain tomorrow'] },
  ];
  test.each(['zero-shot', 'hybrid', 'neural'] as const)(
    '%s goes by what experts say of themselves',
    async (strategy) => {
      const router = new Router(undefined, undefined, { strategy });
      expect((await router.decide('play a jazz song', { experts: described })).expert).toBe('music');
      expect((await router.decide('rain tomorrow?', { experts: described })).expert).toBe('weather');
      expect((await router.decide('xyzzy', { experts: described })).expert).toBeNull();
    },
  );
  test('keyword goes by terms alone', async () => {
    const router = new Router(undefined, undefined, { strategy: 'keyword' });
    expect(await router.decide('a song', { experts: described })).toMatchObject({ expert: 'music', confidence: 0.5 });
    expect((await router.decide('play some jazz', { experts: described })).expert).toBeNull();
  });
});

describe('trained', async () => {
  const { router: trained } = await trainRouter({ train: rows, validation: rows });
  const router = new Router(trained);

  test('decides by what it has learned, and says what the query looks like', async () => {
    const decision = await router.decide('Could you play some rock please?', { experts });
    expect(decision).toMatchObject({ expert: 'music', strategy: 'hybrid', reason: 'best' });
    expect(decision.analysis).toMatchObject({ domain: 'music', intent: 'music', language: 'en' });
    expect(decision.scores.map(({ expert }) => expert)).toEqual(['music', 'weather']);
    expect(decision.scores[0]!.confidence).toBe(decision.confidence);
  });
  test('turns away what is none of the experts’ business', async () => {
    const decision = await router.decide('who was the first president', { experts });
    expect(decision).toMatchObject({ expert: null, reason: 'out-of-scope' });
  });
  test('an expert answers the classes among its domains', async () => {
    const named: Expert[] = [
      { name: 'dj', domains: ['music'] },
      { name: 'other', domains: ['weather', 'news'] },
    ];
    const decision = await router.decide('play the next song', { experts: named });
    expect(decision).toMatchObject({ expert: 'dj', analysis: { domain: 'music', intent: 'music' } });
  });
  test('a class that no expert answers goes to nobody', async () => {
    expect((await router.decide('play the next song', { experts: [{ name: 'weather' }] })).expert).toBeNull();
  });
  test('a new expert gets queries before it was trained for', async () => {
    const joined: Expert[] = [
      ...experts,
      { name: 'cooking', description: 'recipes and cooking', examples: ['how do i bake bread', 'a recipe for soup'] },
    ];
    expect((await router.decide('give me a recipe for bread', { experts: joined })).expert).toBe('cooking');
    expect((await router.decide('play some jazz', { experts: joined })).expert).toBe('music');
  });
  test('a certain keyword rule beats the classifier', async () => {
    const pinned: Expert[] = [
      { name: 'music' },
      { name: 'weather', keywords: [{ term: 'storm song', certain: true }] },
    ];
    const decision = await router.decide('play the storm song', { experts: pinned });
    expect(decision).toMatchObject({ expert: 'weather', reason: 'certain' });
  });
  test('experts that are excluded are not chosen', async () => {
    const decision = await router.decide('play some jazz', { experts, exclude: new Set(['music']) });
    expect(decision).toMatchObject({ expert: null, unavailable: 'music' });
    expect(decision.scores.map(({ expert }) => expert)).toEqual(['weather']);
  });
  test('thresholds hold for all and for one', async () => {
    const strict = new Router(trained, undefined, { threshold: 1.01 });
    expect((await strict.decide('play some jazz', { experts })).expert).toBeNull();
    const mixed: Expert[] = [{ name: 'music', threshold: 0.1 }, { name: 'weather' }];
    expect((await strict.decide('play some jazz', { experts: mixed })).expert).toBe('music');
  });
  test('no experts are a decision too', async () => {
    expect(await router.decide('hello', { experts: [] })).toMatchObject({ expert: null, reason: 'no-experts' });
  });
  test('many queries at once get the same decisions as one by one', async () => {
    const texts = rows.map(({ text }) => text);
    const together = await router.decideAll(texts, { experts });
    for (const [i, text] of texts.entries()) expect(together[i]).toEqual(await router.decide(text, { experts }));
  });
  test('a wrong keyword rule is told each time', async () => {
    const wrong: Expert[] = [{ name: 'a', keywords: [{ pattern: '(' }] }];
    for (let i = 0; i < 2; i++)
      await expect(router.decide('x', { experts: wrong })).rejects.toMatchObject({ code: 'LF_ROUTER_KEYWORD_RULE' });
  });
});

test('an encoder is asked once for a batch, with queries cut to what is read', async () => {
  const calls: string[][] = [];
  const encoder: SentenceEncoder = {
    size: 2,
    encode: async (texts) => {
      calls.push([...texts]);
      return texts.map((text) => (text.includes('a') ? Float32Array.of(1, 0) : Float32Array.of(0, 1)));
    },
    close: async () => {},
  };
  const { router: trained } = await trainRouter({
    train: rows.map((row, i) => ({ ...row, text: row.expert === 'music' ? `a${i}` : `o${i}` })),
    validation: [],
    encoder: { path: 'none', model: encoder },
  });
  calls.length = 0;
  const router = new Router(trained, encoder, { strategy: 'neural', maxCharacters: 3, threshold: 0 });
  const decisions = await router.decideAll(['a99999', 'o9'], { experts });
  expect(calls).toEqual([['a99', 'o9']]);
  expect(decisions[0]!.expert).toBe('music');
});
