import { type RowSource, type TokenRow, targetsOf } from '@largeforge/engine';
import { dataErrors } from './errors.js';
import type { LengthReport } from './report.js';

/** What becomes of rows that are longer than the model is trained on. */
export type OverlongPolicy = LengthReport['policy'];

export interface LengthLimit {
  readonly maxLength: number;
  /** truncate keeps the beginning; split makes several rows of one, each of which sees only itself. */
  readonly policy: OverlongPolicy;
}

/** Part of a row: tokens `from` to `to`. */
interface Piece {
  readonly row: number;
  readonly from: number;
  readonly to: number;
}

/**
 * Applies the limit on the length of rows. Nothing is cut silently: under the policy `error`, a row that is too long
 * is an error that says what cutting would cost.
 * @param totalTargets targets of the whole source
 * @throws LF_DATA_OVERLONG; LF_DATA_NO_ROWS when nothing is left
 */
export async function limitLength<Row extends TokenRow>(
  source: RowSource<Row>,
  limit: LengthLimit,
  totalTargets: number,
): Promise<{ rows: RowSource<Row>; report: LengthReport }> {
  const { maxLength, policy } = limit;
  const pieces: Piece[] = [];
  let [overlong, longest, tokensLost, targetsLost] = [0, 0, 0, 0];
  for (let row = 0; row < source.lengths.length; row++) {
    const length = source.lengths[row] as number;
    if (length <= maxLength) {
      pieces.push({ row, from: 0, to: length });
      continue;
    }
    overlong++;
    longest = Math.max(longest, length);
    const [read] = (await source.read([row])) as [Row];
    tokensLost += length;
    targetsLost += targetsOf(read);
    for (const piece of piecesOf(row, length, limit)) {
      const targets = targetsOf({ tokens: read.tokens, mask: read.mask.subarray(piece.from, piece.to) });
      // A piece of nothing but context would only cost time.
      if (targets === 0) continue;
      pieces.push(piece);
      tokensLost -= piece.to - piece.from;
      targetsLost -= targets;
    }
  }
  if (overlong > 0 && policy === 'error') {
    throw dataErrors.LF_DATA_OVERLONG({
      rows: overlong,
      total: source.lengths.length,
      maxLength,
      longest,
      targets: targetsLost,
      share: targetsLost / totalTargets,
    });
  }
  if (pieces.length === 0) {
    throw dataErrors.LF_DATA_NO_ROWS({ source: 'the data', reason: `every row is longer than ${maxLength} tokens` });
  }
  const rows = overlong === 0 ? source : piecewise(source, pieces, `${source.fingerprint}-${policy}${maxLength}`);
  return { rows, report: { maxLength, policy, overlong, tokensLost, targetsLost, rows: pieces.length } };
}

function piecesOf(row: number, length: number, { maxLength, policy }: LengthLimit): Piece[] {
  if (policy === 'drop') return [];
  const pieces = policy === 'split' ? Math.ceil(length / maxLength) : 1;
  return Array.from({ length: pieces }, (_, i) => ({
    row,
    from: i * maxLength,
    to: Math.min(length, (i + 1) * maxLength),
  }));
}

function piecewise<Row extends TokenRow>(
  source: RowSource<Row>,
  pieces: readonly Piece[],
  fingerprint: string,
): RowSource<Row> {
  return {
    fingerprint,
    lengths: Uint32Array.from(pieces, (piece) => piece.to - piece.from),
    async read(indices) {
      const wanted = Array.from(indices, (index) => pieces[index] as Piece);
      const rows = await source.read(wanted.map((piece) => piece.row));
      return rows.map((row, i) => {
        const { from, to } = wanted[i] as Piece;
        return { ...row, tokens: row.tokens.subarray(from, to), mask: row.mask.subarray(from, to) };
      });
    },
  };
}
