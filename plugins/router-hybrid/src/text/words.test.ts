import { describe, expect, test } from 'vitest';
import { normalize, wordsOf } from './words.js';

const words = (text: string) => wordsOf(normalize(text)).map((word) => word.text);

test('case, full-width letters and typographic apostrophes make no difference', () => {
  expect(normalize('Ｃａｆé Don’t')).toBe("café don't");
});

describe('words of', () => {
  test.each([
    ['English', 'Pay my bill, please!', ['pay', 'my', 'bill', 'please']],
    ['German', 'Größe der Überweisung', ['größe', 'der', 'überweisung']],
    ['Russian', 'Где мой заказ?', ['где', 'мой', 'заказ']],
    ['Hindi, whose vowel signs are marks', 'मेरा खाता', ['मेरा', 'खाता']],
    ['Arabic', 'أين طلبي؟', ['أين', 'طلبي']],
    ['Japanese, which has no spaces', '今日の天気', ['今日', 'の', '天気']],
    ['Chinese beside Latin letters', '我的 wifi 密码', ['我的', 'wifi', '密码']],
    ['Thai', 'สวัสดีครับ', ['สวัสดี', 'ครับ']],
  ])('%s', (_, text, expected) => expect(words(text)).toEqual(expected));
});

test('positions point into the normalised text', () => {
  const text = normalize('Größe, 天気予報');
  for (const { text: word, start, end } of wordsOf(text)) expect(text.slice(start, end)).toBe(word);
});
