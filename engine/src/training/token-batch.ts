/** A tokenised row: one document, which sees nothing of its neighbours in a batch. */
export interface TokenRow {
  readonly tokens: Int32Array;
  /** 1 where the token is a target of the loss: the model learns to produce it. */
  readonly mask: Uint8Array;
}

/** Rows laid out one behind the other (variable-length attention; no padding). */
export interface TokenBatch {
  readonly tokens: Int32Array;
  /** Restart at 0 in every document. */
  readonly positions: Int32Array;
  /** Start of each document, and the end of the last: documents + 1 numbers. */
  readonly cuSeqlens: Int32Array;
  readonly maxSeqlen: number;
  /** What position t must predict: the token after it where that is a target, else `ignoredLabel`. */
  readonly labels: Int32Array;
  /** Labels that count. */
  readonly targets: number;
}

/** Label of a position without a target, as in PyTorch. */
export const ignoredLabel = -100;

/** Lays rows out. The last position of a document never has a label: what follows is another document. */
export function tokenBatch(rows: readonly TokenRow[]): TokenBatch {
  const total = rows.reduce((sum, row) => sum + row.tokens.length, 0);
  const tokens = new Int32Array(total);
  const positions = new Int32Array(total);
  const labels = new Int32Array(total).fill(ignoredLabel);
  const cuSeqlens = new Int32Array(rows.length + 1);
  let start = 0;
  let maxSeqlen = 0;
  let targets = 0;
  for (const [document, row] of rows.entries()) {
    const length = row.tokens.length;
    tokens.set(row.tokens, start);
    for (let t = 0; t < length; t++) {
      positions[start + t] = t;
      if (t > 0 && row.mask[t]) {
        labels[start + t - 1] = row.tokens[t] as number;
        targets++;
      }
    }
    start += length;
    cuSeqlens[document + 1] = start;
    maxSeqlen = Math.max(maxSeqlen, length);
  }
  return { tokens, positions, cuSeqlens, maxSeqlen, labels, targets };
}

/** Targets of a row; the first token has nothing before it that could predict it. */
export function targetsOf(row: TokenRow): number {
  let targets = 0;
  for (let t = 1; t < row.mask.length; t++) targets += row.mask[t] as number;
  return targets;
}
