import type { RowSource, TokenRow } from '@largeforge/engine';
import type { RowKind, Verdict } from './formats/format.js';
import { type LengthLimit, limitLength } from './limit-length.js';
import { limitPairs, type PairRow } from './limit-pairs.js';
import type { LengthReport } from './report.js';
import type { StoredRow } from './store/token-store.js';

/** An answer with its prompt, and whether it is a good one. */
export interface JudgedRow extends TokenRow {
  readonly verdict: Verdict;
}

/** What a trainer's rows are, and how they are laid out of tokenised ones. */
export interface RowShape<Row> {
  /** Formats that can give such rows. */
  readonly from: readonly RowKind[];
  limit(
    source: RowSource<StoredRow>,
    limit: LengthLimit,
    totalTargets: number,
  ): Promise<{ rows: RowSource<Row>; report: LengthReport }>;
}

/** Texts to imitate. */
export const exampleRows: RowShape<TokenRow> = { from: ['examples'], limit: limitLength };

/** Pairs of answers. */
export const pairRows: RowShape<PairRow> = { from: ['pairs'], limit: limitPairs };

/** Single answers, good or bad; a pair gives one of either. */
export const judgedRows: RowShape<JudgedRow> = {
  from: ['judgements', 'pairs'],
  limit: (source, limit, targets) => limitLength(source as RowSource<JudgedRow>, limit, targets),
};
