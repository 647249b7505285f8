import { ignoredLabel, type TokenBatch, type TokenRow } from '@largeforge/engine';

/** Answers with their prompts, laid out for one forward pass. They do not see each other. */
export interface AnswerBatch extends TokenBatch {
  /** Answers. */
  readonly answers: number;
  /** Tokens of each answer. */
  readonly answerTokens: readonly number[];
  /** f32 [T]: how much the label at a position counts in its answer's log-probability; 0 where it is not the answer's. */
  readonly weights: Float32Array;
}

export interface AnswerLayout {
  /** How many answers, from the first, have labels on their prompts too (with weight 0). None unless given. */
  readonly labelledPrompts?: number;
  /** Weight of an answer's tokens from this one on (counted from 0), for each answer; see LD-DPO. */
  readonly tails?: { readonly from: readonly number[]; readonly weight: number };
}

/** Lays rows out one behind the other; the mask of a row tells which of its tokens are the answer. */
export function answerBatch(rows: readonly TokenRow[], { labelledPrompts = 0, tails }: AnswerLayout = {}): AnswerBatch {
  const total = rows.reduce((sum, row) => sum + row.tokens.length, 0);
  const tokens = new Int32Array(total);
  const positions = new Int32Array(total);
  const labels = new Int32Array(total).fill(ignoredLabel);
  const weights = new Float32Array(total);
  const cuSeqlens = new Int32Array(rows.length + 1);
  const answerTokens: number[] = [];
  let [start, maxSeqlen, targets] = [0, 0, 0];
  for (const [answer, row] of rows.entries()) {
    tokens.set(row.tokens, start);
    let count = 0;
    for (let t = 0; t < row.tokens.length; t++) positions[start + t] = t;
    for (let t = 1; t < row.tokens.length; t++) {
      const counts = row.mask[t] === 1;
      if (!counts && answer >= labelledPrompts) continue;
      labels[start + t - 1] = row.tokens[t] as number;
      targets++;
      if (!counts) continue;
      weights[start + t - 1] = tails && count >= (tails.from[answer] as number) ? tails.weight : 1;
      count++;
    }
    answerTokens.push(count);
    start += row.tokens.length;
    cuSeqlens[answer + 1] = start;
    maxSeqlen = Math.max(maxSeqlen, row.tokens.length);
  }
  return { tokens, positions, cuSeqlens, maxSeqlen, labels, targets, answers: rows.length, answerTokens, weights };
}

/** Log-probability of each answer: minus the weighted sum of `nll` [T] over it. */
export function logProbabilities(nll: ArrayLike<number>, { cuSeqlens, weights, answers }: AnswerBatch): number[] {
  return Array.from({ length: answers }, (_, answer) => {
    let sum = 0;
    for (let t = cuSeqlens[answer] as number; t < (cuSeqlens[answer + 1] as number); t++) {
      const weight = weights[t] as number;
      if (weight !== 0) sum -= weight * (nll[t] as number);
    }
    return sum;
  });
}
