/**
 * Rows that a run trains on, wherever they lie. Millions of rows cost their lengths in memory; the rows themselves are
 * read when a step needs them.
 */
export interface RowSource<Row> {
  /** Tells these rows from any others: a hash of the data and of how it was prepared. Checkpoints hold it. */
  readonly fingerprint: string;
  /** Tokens of each row; its length is the number of rows. */
  readonly lengths: ArrayLike<number>;
  /** The rows of these indices, in this order. */
  read(rows: ArrayLike<number>): Row[] | Promise<Row[]>;
}

/** Rows that are in memory. */
export function memoryRows<Row>(
  rows: readonly Row[],
  lengthOf: (row: Row) => number,
  fingerprint: string,
): RowSource<Row> {
  return {
    fingerprint,
    lengths: rows.map(lengthOf),
    read: (indices) => Array.from(indices, (index) => rows[index] as Row),
  };
}
