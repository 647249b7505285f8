import { describe, expect, it } from 'vitest';
import { excerpt, type Tokenize } from './excerpt.js';

const [begin, end] = [-1, -2];
/** Words are numbers, and their tokens. */
const tokenize: Tokenize = (text) => Int32Array.from([begin, ...(text.match(/\d+/g) ?? []).map(Number), end]);
const later: Tokenize = async (text) => tokenize(text);
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, i) => from + i);
const text = (count: number) => numbers(count).join(' ');

describe.each([
  ['at once', tokenize],
  ['on another thread', later],
])('an excerpt, tokenized %s', (_, how) => {
  it('is the whole of a text that fits', async () => {
    expect([...(await excerpt(text(10), 12, how))]).toEqual([begin, ...numbers(10), end]);
  });
  it('is the beginning and the end of one that does not', async () => {
    expect([...(await excerpt(text(11), 12, how))]).toEqual([begin, ...numbers(8), 9, 10, end]);
    expect([...(await excerpt(text(1000), 12, how))]).toEqual([begin, ...numbers(8), 998, 999, end]);
  });
  it('begins its end with a whole word', async () => {
    const long = `${text(100)} ${'7'.repeat(45)} 5`;
    expect([...(await excerpt(long, 12, how))].slice(-2)).toEqual([5, end]);
  });
  it('reads of one endless word what a token may be', async () => {
    const ids = await excerpt('1'.repeat(10_000), 12, how);
    expect(ids.length).toBeLessThanOrEqual(12);
    expect([ids[0], ids.at(-1)]).toEqual([begin, end]);
  });
});
