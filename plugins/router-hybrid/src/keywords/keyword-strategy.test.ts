import { describe, expect, test } from 'vitest';
import { type KeywordRule, KeywordStrategy } from './keyword-strategy.js';

const strategy = (rules: Record<string, KeywordRule[]>) => new KeywordStrategy(new Map(Object.entries(rules)));
const matched = (rule: KeywordRule, text: string) => strategy({ a: [rule] }).score(text).matches.length > 0;

describe('a term', () => {
  test.each([
    ['is a word', 'bill', 'pay my BILL now', true],
    ['is no part of a word', 'bill', 'a billion', false],
    ['may be a phrase', 'credit card', 'my credit card, please', true],
    ['may end in a sign', 'c++', 'how do I learn C++?', true],
    ['with a sign is no part of a word either', 'c++', 'abc++', false],
    ['beside digits is no word of its own', 'covid', 'covid19', false],
    ['in Russian', 'счёт', 'Оплати счёт сегодня', true],
    ['in Russian is no part of a word', 'счёт', 'расчёт', false],
    ['in Hindi does not lose its vowel sign', 'खात', 'मेरा खाता', false],
    ['in Chinese, inside a run', '天气', '今天天气怎么样', true],
    ['in Chinese is no part of a word', '信用', '我要还信用卡账单', false],
    ['in Chinese of several words', '信用卡账单', '我要还信用卡账单', true],
    ['in Chinese beside Latin letters', 'wifi密码', '我的WiFi密码', true],
    ['in Japanese, inside a run', '天気', '京都の天気はどう', true],
    ['in Japanese is no part of a word', '京都', '東京都の天気', false],
    ['in Korean, which has spaces', '날씨', '오늘 날씨 어때', true],
    ['in Thai, inside a run', 'ครับ', 'สวัสดีครับ', true],
    ['in Thai is no part of a word', 'มา', 'ราคามากเกินไป', false],
    ['in Thai with a vowel that Unicode takes apart', 'น้ำ', 'ดื่มน้ำเย็น', true],
    ['in Lao', 'ນ້ຳ', 'ຂ້ອຍຢາກກິນນ້ຳ', true],
    ['in Khmer', 'ចង់', 'ខ្ញុំចង់ញ៉ាំបាយ', true],
    ['in Burmese', 'မိုးရွာ', 'မနက်ဖြန် မိုးရွာမလား', true],
    ['in Arabic', 'طلب', 'أين طلب اليوم', true],
    ['in Arabic is no part of a word', 'طلب', 'أين طلبي', false],
    ['in Persian is one word with a joiner in it', 'خواهم', 'می\u200cخواهم پول بفرستم', false],
    ['goes over the end of a line', 'credit card', 'my credit\n  card', true],
    ['in other compatibility forms', 'wifi', 'ＷｉＦｉ password', true],
  ])('%s', (_, term, text, expected) => expect(matched({ term }, text)).toBe(expected));
  test('that is partial is found inside words', () => {
    expect(matched({ term: 'bank', partial: true }, 'Onlinebanking')).toBe(true);
  });
});

test('a pattern is a regular expression on the folded text', () => {
  expect(matched({ pattern: '\\border\\s+#?\\d+' }, 'where is ORDER 4711')).toBe(true);
  expect(matched({ pattern: '\\border\\s+#?\\d+' }, 'in order to')).toBe(false);
});

test('weights add up, each rule once, and negative terms speak against', () => {
  const rules = {
    bank: [
      { term: 'account', weight: 2 },
      { term: 'river', weight: -3 },
    ],
    nature: [{ term: 'river' }, { term: 'bank' }],
  };
  const { confidences } = strategy(rules).score('account account on the river bank');
  expect(confidences.has('bank')).toBe(false);
  expect(confidences.get('nature')).toBeCloseTo(4 / 5);
  expect(strategy(rules).score('my account').confidences.get('bank')).toBeCloseTo(4 / 5);
});

test('a certain rule names its expert; of two the heavier', () => {
  const rules = strategy({
    a: [{ term: 'help', certain: true }],
    b: [{ term: 'emergency', certain: true, weight: 5 }],
  });
  expect(rules.score('help').certain).toBe('a');
  expect(rules.score('help, an emergency').certain).toBe('b');
  expect(rules.score('nothing of the kind').certain).toBeUndefined();
});

test('nothing matched is no opinion', () =>
  expect(strategy({ a: [{ term: 'x' }] }).score('y').confidences.size).toBe(0));

describe('a rule that cannot be used is named', () => {
  test.each<[string, KeywordRule, RegExp]>([
    ['a pattern that is none', { pattern: '(' }, /keyword rule 0 of the expert "a" .*(Unterminated|Invalid)/],
    ['neither', {}, /has no text/],
    ['both', { term: 'a', pattern: 'b' }, /both "term" and "pattern"/],
  ])('%s', (_, rule, message) => expect(() => strategy({ a: [rule] })).toThrow(message));
});
