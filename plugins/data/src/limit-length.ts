import { type RowSource, type TokenRow, targetsOf } from '@largeforge/engine';
import { dataErrors } from './errors.js';
import type { LengthReport } from './report.js';
import { NumberList } from './store/number-list.js';

/** What becomes of rows that are longer than the model is trained on. */
export type OverlongPolicy = LengthReport['policy'];

export interface LengthLimit {
  readonly maxLength: number;
  /** truncate keeps the beginning; split makes several rows of one, each of which sees only itself. */
  readonly policy: OverlongPolicy;
}

/** Parts of rows: piece i is tokens `from[i]` to `to[i]` of row `rows[i]`. Flat, so that millions cost little. */
class Pieces {
  private readonly rows = new NumberList();
  private readonly starts = new NumberList();
  private readonly ends = new NumberList();

  push(row: number, from: number, to: number): void {
    this.rows.push(row);
    this.starts.push(from);
    this.ends.push(to);
  }

  get length(): number {
    return this.rows.length;
  }

  row(piece: number): number {
    return this.rows.numbers[piece] as number;
  }

  from(piece: number): number {
    return this.starts.numbers[piece] as number;
  }

  to(piece: number): number {
    return this.ends.numbers[piece] as number;
  }

  lengths(): Uint32Array {
    const [from, to] = [this.starts.numbers, this.ends.numbers];
    return to.map((end, piece) => end - (from[piece] as number));
  }
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
  const pieces = new Pieces();
  let [overlong, longest, tokensLost, targetsLost] = [0, 0, 0, 0];
  for (let row = 0; row < source.lengths.length; row++) {
    const length = source.lengths[row] as number;
    if (length <= maxLength) {
      pieces.push(row, 0, length);
      continue;
    }
    overlong++;
    longest = Math.max(longest, length);
    const [read] = (await source.read([row])) as [Row];
    tokensLost += length;
    targetsLost += targetsOf(read);
    for (const [from, to] of partsOf(length, limit)) {
      const targets = targetsOf({ tokens: read.tokens, mask: read.mask.subarray(from, to) });
      // A piece of nothing but context would only cost time.
      if (targets === 0) continue;
      pieces.push(row, from, to);
      tokensLost -= to - from;
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

function partsOf(length: number, { maxLength, policy }: LengthLimit): [from: number, to: number][] {
  if (policy === 'drop') return [];
  const parts = policy === 'split' ? Math.ceil(length / maxLength) : 1;
  return Array.from({ length: parts }, (_, i) => [i * maxLength, Math.min(length, (i + 1) * maxLength)]);
}

function piecewise<Row extends TokenRow>(source: RowSource<Row>, pieces: Pieces, fingerprint: string): RowSource<Row> {
  return {
    fingerprint,
    lengths: pieces.lengths(),
    async read(indices) {
      const rows = await source.read(Array.from(indices, (piece) => pieces.row(piece)));
      return rows.map((row, i) => {
        const piece = indices[i] as number;
        const [from, to] = [pieces.from(piece), pieces.to(piece)];
        return { ...row, tokens: row.tokens.subarray(from, to), mask: row.mask.subarray(from, to) };
      });
    },
  };
}
