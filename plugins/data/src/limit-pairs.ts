import { type RowSource, type TokenRow, targetsOf } from '@largeforge/engine';
import { dataErrors } from './errors.js';
import type { LengthLimit } from './limit-length.js';
import type { LengthReport } from './report.js';

/** Two answers to one prompt, each with the prompt before it. */
export interface PairRow {
  readonly chosen: TokenRow;
  readonly rejected: TokenRow;
}

/**
 * Rows 2i and 2i + 1 of a source as pair i. The limit is that of either answer with its prompt: a pair is overlong when
 * one of them is, and is kept or left out whole. `truncate` keeps the beginning of either.
 * @param totalTargets targets of the whole source
 * @throws LF_DATA_OVERLONG; LF_DATA_NO_ROWS when nothing is left; RangeError for the policy `split`
 */
export async function limitPairs(
  source: RowSource<TokenRow>,
  { maxLength, policy }: LengthLimit,
  totalTargets: number,
): Promise<{ rows: RowSource<PairRow>; report: LengthReport }> {
  if (policy === 'split') throw new RangeError('pairs of answers cannot be split');
  const { lengths } = source;
  const total = lengths.length / 2;
  const kept: number[] = [];
  let [overlong, longest, tokensLost, targetsLost] = [0, 0, 0, 0];
  for (let pair = 0; pair < total; pair++) {
    const both = [lengths[2 * pair] as number, lengths[2 * pair + 1] as number];
    if (Math.max(...both) <= maxLength) {
      kept.push(pair);
      continue;
    }
    overlong++;
    longest = Math.max(longest, ...both);
    const rows = await source.read([2 * pair, 2 * pair + 1]);
    const left = rows.map((row) => targetsOf(beginning(row, maxLength)));
    // An answer without a token would say nothing of the other.
    const keep = policy === 'truncate' && left.every((targets) => targets > 0);
    if (keep) kept.push(pair);
    for (const [side, row] of rows.entries()) {
      tokensLost += row.tokens.length - (keep ? Math.min(row.tokens.length, maxLength) : 0);
      targetsLost += targetsOf(row) - (keep ? (left[side] as number) : 0);
    }
  }
  if (overlong > 0 && policy === 'error') {
    const share = targetsLost / totalTargets;
    throw dataErrors.LF_DATA_OVERLONG({ rows: overlong, total, maxLength, longest, targets: targetsLost, share });
  }
  if (kept.length === 0) {
    const reason = total === 0 ? 'there are no pairs' : `no pair of answers fits into ${maxLength} tokens`;
    throw dataErrors.LF_DATA_NO_ROWS({ source: 'the data', reason });
  }
  const rows: RowSource<PairRow> = {
    fingerprint: overlong === 0 ? `${source.fingerprint}-pairs` : `${source.fingerprint}-pairs-${policy}${maxLength}`,
    lengths: Uint32Array.from(kept, (pair) => {
      const length = (row: number) => Math.min(lengths[row] as number, maxLength);
      return length(2 * pair) + length(2 * pair + 1);
    }),
    async read(indices) {
      const wanted = Array.from(indices, (index) => 2 * (kept[index] as number));
      const read = await source.read(wanted.flatMap((row) => [row, row + 1]));
      return wanted.map((_, i) => ({
        chosen: beginning(read[2 * i] as TokenRow, maxLength),
        rejected: beginning(read[2 * i + 1] as TokenRow, maxLength),
      }));
    },
  };
  return { rows, report: { maxLength, policy, overlong, tokensLost, targetsLost, rows: kept.length } };
}

function beginning({ tokens, mask }: TokenRow, length: number): TokenRow {
  return { tokens: tokens.subarray(0, length), mask: mask.subarray(0, length) };
}
