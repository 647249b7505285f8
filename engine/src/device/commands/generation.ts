import { Op } from '../opcodes.js';
import type { CommandRecorder, Operand } from '../recorder.js';

/** Draws one token for each row of logits f32 [B, V]; `lf_sample_word` in backend.h says what `rows` [B, 16] holds. */
export function sample(
  r: CommandRecorder,
  { topN }: { topN: number },
  t: {
    logits: Operand;
    rows: Operand;
    history?: Operand;
    mask?: Operand;
    bias?: Operand;
    tokens: Operand;
    logprob: Operand;
    topTokens?: Operand;
    topLogprobs?: Operand;
  },
): void {
  const p = r.begin(Op.SAMPLE, 1, 9);
  r.words[p] = topN;
  r.operand(t.logits);
  r.operand(t.rows);
  r.operand(t.history);
  r.operand(t.mask);
  r.operand(t.bias);
  r.operand(t.tokens);
  r.operand(t.logprob);
  r.operand(t.topTokens);
  r.operand(t.topLogprobs);
}

/** Mean of x [T, D] over each sequence of cu [B + 1], divided by its norm when `normalize`. */
export function meanPool(
  r: CommandRecorder,
  { normalize }: { normalize: boolean },
  t: { x: Operand; cu: Operand; out: Operand },
): void {
  const p = r.begin(Op.MEAN_POOL, 1, 3);
  r.words[p] = normalize ? 1 : 0;
  r.operand(t.x);
  r.operand(t.cu);
  r.operand(t.out);
}
