import { describe, expect, test } from 'vitest';
import { normalize, wordsOf } from '../text/words.js';
import { complexityOf } from './complexity.js';
import { languageOf } from './language.js';

describe('the language of', () => {
  test.each([
    ['en', 'what is the weather in my town'],
    ['de', 'wie ist das Wetter und was kann ich nicht sehen'],
    ['fr', 'quel est le temps dans ma ville pour vous'],
    ['es', '¿dónde está mi tarjeta y cómo puedo pagar por favor?'],
    ['it', 'come posso vedere gli ordini della mia banca'],
    ['pt', 'você não está com o meu cartão'],
    ['nl', 'waar is mijn kaart en wanneer kan het zijn'],
    ['pl', 'gdzie jest moja karta i czy mogę'],
    ['tr', 'hesabım nerede ve ne zaman benim için'],
    ['ja', '今日の天気は'],
    ['zh', '今天天气怎么样'],
    ['ko', '오늘 날씨'],
    ['ru', 'где мой заказ'],
    ['uk', 'де моє замовлення, її немає'],
    ['ar', 'أين طلبي'],
    ['hi', 'मेरा खाता'],
    ['und', 'xyzzy 42'],
  ])('%s: %s', (language, text) => expect(languageOf(wordsOf(normalize(text)))).toBe(language));
});

describe('complexity', () => {
  const of = (text: string) => complexityOf(normalize(text), wordsOf(normalize(text)));
  test('orders queries as people would', () => {
    const ordered = [
      'hi',
      'what is the capital of france',
      'explain why the sky is blue',
      'Compare quicksort and mergesort step by step. Derive both running times, e.g. n * log n. Which one is stable? Then implement it:\n```\nfunction sort(list) {\n```',
    ].map(of);
    expect(ordered).toEqual([...ordered].sort((a, b) => a - b));
    expect(ordered[3]! - ordered[0]!).toBeGreaterThan(0.4);
  });
  test('stays between 0 and 1', () => {
    expect(of('')).toBe(0);
    expect(of('explain. 1 + 1 = 2; '.repeat(2000))).toBeLessThanOrEqual(1);
  });
});
