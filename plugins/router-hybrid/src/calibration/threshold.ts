/** A validation row as a strategy saw it. */
export interface ScoredRow {
  /** Confidence of the best expert. */
  readonly confidence: number;
  /** Whether the best expert is the row's; false for rows of no expert. */
  readonly correct: boolean;
  /** The row belongs to no expert. */
  readonly outOfScope: boolean;
}

/** How decisions at a threshold turn out. Shares, 0 to 1; NaN where there are no such rows. */
export interface ThresholdFigures {
  readonly threshold: number;
  /** Rows of an expert that reach it; those found out of scope count as errors. */
  readonly inScopeAccuracy: number;
  /** Rows of no expert that are found out of scope. */
  readonly outOfScopeRecall: number;
}

/** Without rows of no expert, a threshold may turn away this share of the rows that are decided rightly. */
const toleratedLoss = 0.01;

export function figuresAt(rows: readonly ScoredRow[], threshold: number): ThresholdFigures {
  let inside = 0;
  let right = 0;
  let outside = 0;
  let refused = 0;
  for (const { confidence, correct, outOfScope } of rows) {
    if (outOfScope) {
      outside++;
      refused += Number(confidence < threshold);
    } else {
      inside++;
      right += Number(correct && confidence >= threshold);
    }
  }
  return { threshold, inScopeAccuracy: right / inside, outOfScopeRecall: refused / outside };
}

/** Of the rows of no expert, those that a router should turn away unless told otherwise. */
export const defaultRecall = 0.8;

/**
 * The threshold to use, chosen on validation rows: the lowest at which the wanted share of the rows of no expert is
 * turned away, so that as few rows of an expert as possible are. Where validation has no rows of no expert, the highest
 * that loses at most 1 % of the rows that are decided rightly.
 */
export function chooseThreshold(rows: readonly ScoredRow[], recall = defaultRecall): ThresholdFigures {
  const confidences = (keep: (row: ScoredRow) => boolean) =>
    rows
      .filter(keep)
      .map(({ confidence }) => confidence)
      .sort((a, b) => a - b);
  const outside = confidences((row) => row.outOfScope);
  if (outside.length > 0) {
    const refused = Math.ceil(recall * outside.length);
    return figuresAt(rows, refused === 0 ? 0 : justAbove(outside[refused - 1]!));
  }
  const right = confidences((row) => row.correct);
  return figuresAt(rows, right[Math.floor(toleratedLoss * right.length)] ?? 0);
}

const justAbove = (confidence: number): number => confidence + 1e-9;
