import { memoryRows, type TokenRow } from '@largeforge/engine';
import { describe, expect, it } from 'vitest';
import { limitPairs } from './limit-pairs.js';

/** A row of a prompt and an answer of so many tokens. */
function row(prompt: number, answer: number): TokenRow {
  const tokens = Int32Array.from({ length: prompt + answer }, (_, i) => i);
  return { tokens, mask: Uint8Array.from(tokens, (_, i) => (i >= prompt ? 1 : 0)) };
}

const rows = [row(2, 2), row(2, 3), row(2, 6), row(2, 1), row(7, 1), row(7, 2)];
const source = memoryRows(rows, ({ tokens }) => tokens.length, 'rows');
const targets = 15;

describe('pairs of answers', () => {
  it('are rows that follow each other', async () => {
    const { rows: pairs, report } = await limitPairs(source, { maxLength: 9, policy: 'error' }, targets);
    expect([...(pairs.lengths as Uint32Array)]).toEqual([9, 11, 17]);
    expect(await pairs.read([1])).toEqual([{ chosen: rows[2], rejected: rows[3] }]);
    expect(report).toEqual({ maxLength: 9, policy: 'error', overlong: 0, tokensLost: 0, targetsLost: 0, rows: 3 });
  });

  it('are dropped whole when one answer is too long', async () => {
    const { rows: pairs, report } = await limitPairs(source, { maxLength: 5, policy: 'drop' }, targets);
    expect([...(pairs.lengths as Uint32Array)]).toEqual([9]);
    expect(report).toMatchObject({ overlong: 2, rows: 1, targetsLost: 10, tokensLost: 28 });
    expect(pairs.fingerprint).not.toBe(source.fingerprint);
  });

  it('are cut in either answer, and dropped where nothing of an answer is left', async () => {
    const { rows: pairs, report } = await limitPairs(source, { maxLength: 5, policy: 'truncate' }, targets);
    expect([...(pairs.lengths as Uint32Array)]).toEqual([9, 8]);
    const [cut] = await pairs.read([1]);
    expect(cut?.chosen).toEqual({ tokens: rows[2]?.tokens.subarray(0, 5), mask: rows[2]?.mask.subarray(0, 5) });
    expect(cut?.rejected).toEqual(rows[3]);
    expect(report).toMatchObject({ overlong: 2, rows: 2, targetsLost: 6, tokensLost: 20 });
  });

  it('say what cutting would cost, when nothing may be cut', async () => {
    const limited = limitPairs(source, { maxLength: 5, policy: 'error' }, targets);
    await expect(limited).rejects.toMatchObject({
      code: 'LF_DATA_OVERLONG',
      message: expect.stringMatching(/^2 of 3 rows are longer than 5 tokens \(the longest has 9\)/),
    });
  });

  it('are an error when none is left', async () => {
    const limited = limitPairs(source, { maxLength: 2, policy: 'drop' }, targets);
    await expect(limited).rejects.toMatchObject({ code: 'LF_DATA_NO_ROWS' });
  });
});
