import type { PairRow } from '@largeforge/data';
import { type CausalLanguageModel, type HostResult, type Objective, type Sum, scope } from '@largeforge/engine';
import { type AnswerBatch, answerBatch, logProbabilities } from './answers/answer-batch.js';
import { answerResults } from './answers/read-back.js';
import { tokenFigures } from './answers/token-figures.js';
import type { PairFigures, PairJudgement, PairMethod } from './pairs.js';
import type { Reference } from './reference/reference.js';

/** A pair with the reference's log-probabilities of its answers, where they were computed before. */
export interface ReferredPair extends PairRow {
  readonly reference?: { readonly chosen: number; readonly rejected: number };
}

/** The chosen answers of a batch, then the rejected ones in the same order. */
export interface PairBatch extends AnswerBatch {
  readonly pairs: number;
  readonly reference?: { readonly chosen: readonly number[]; readonly rejected: readonly number[] };
}

/**
 * Learning from pairs of answers by any of the methods. The loss of an optimiser step is a mean over its pairs.
 * @param reference asked when a row does not bring the reference's log-probabilities; none for methods without one
 */
export function pairObjective(
  model: CausalLanguageModel,
  method: PairMethod,
  reference?: Reference,
): Objective<ReferredPair, PairBatch> {
  return {
    name: method.name,
    collate: (rows) => pairBatch(rows, method),
    weight: (batch) => batch.pairs,
    tokens: (batch) => batch.tokens.length,
    loss(batch, { scale, forward }) {
      const asked = batch.reference ? undefined : reference?.nll(batch);
      const { nll, entropy, argmax } = answerResults(model, model.hidden(batch, forward), batch);
      return {
        values: nll,
        reads: [nll, entropy, argmax, ...(asked ? [asked] : [])],
        finish: (read) => judge(method, batch, read, scale),
      };
    },
    async evaluate(batch) {
      const reads = scope(() => {
        const asked = batch.reference ? undefined : reference?.nll(batch);
        const { nll, entropy, argmax } = answerResults(model, model.hidden(batch), batch);
        return [nll, entropy, argmax, ...(asked ? [asked] : [])];
      });
      const read = await Promise.all(reads.map((tensor) => (tensor.dtype === 'i32' ? tensor.ints() : tensor.floats())));
      for (const tensor of reads) tensor.dispose();
      const { loss, metrics } = judge(method, batch, read, 1);
      return { loss: { sum: loss, weight: batch.pairs }, ...metrics };
    },
  };
}

/** Lays pairs out for a method. */
export function pairBatch(rows: readonly ReferredPair[], { learnPrompts, tailWeight }: PairMethod): PairBatch {
  const answers = [...rows.map((row) => row.chosen), ...rows.map((row) => row.rejected)];
  const layout = {
    ...(learnPrompts ? { labelledPrompts: rows.length } : {}),
    ...(tailWeight === undefined ? {} : { tails: { from: sharedLengths(rows), weight: tailWeight } }),
  };
  const batch = { ...answerBatch(answers, layout), pairs: rows.length };
  const references = rows.flatMap((row) => (row.reference ? [row.reference] : []));
  if (references.length < rows.length) return batch;
  return {
    ...batch,
    reference: {
      chosen: references.map((of) => of.chosen),
      rejected: references.map((of) => of.rejected),
    },
  };
}

/** For each answer of a batch, the length of the shorter answer of its pair. */
function sharedLengths(rows: readonly PairRow[]): number[] {
  const tokens = ({ mask }: PairRow['chosen']) => mask.reduce((sum, one, t) => sum + (t > 0 ? one : 0), 0);
  const shared = rows.map(({ chosen, rejected }) => Math.min(tokens(chosen), tokens(rejected)));
  return [...shared, ...shared];
}

/** The loss of a batch, its gradient by every token's nll, and the metrics. */
function judge(
  method: PairMethod,
  batch: PairBatch,
  [nll, entropy, argmax, asked]: readonly ArrayLike<number>[],
  scale: number,
): HostResult {
  if (!nll || !entropy || !argmax) throw new RangeError('the results of a batch are nll, entropy and argmax');
  const { pairs } = batch;
  const figures = pairFigures(method, batch, nll, asked);
  const judgement = method.judge(figures.of);
  return {
    loss: judgement.loss * pairs,
    gradient: tokenGradient(method, batch, judgement, figures.nllTokens, scale * pairs),
    metrics: { ...pairMetrics(figures.of, judgement, pairs), ...tokenFigures(batch, entropy, argmax, pairs) },
  };
}

function pairFigures(method: PairMethod, batch: PairBatch, nll: ArrayLike<number>, asked?: ArrayLike<number>) {
  const { pairs, answerTokens } = batch;
  const perAnswer = (of: readonly number[]) =>
    method.average ? of.map((logp, answer) => logp / Math.max(answerTokens[answer] as number, 1)) : of;
  const logps = perAnswer(logProbabilities(nll, batch));
  const referred = asked ? perAnswer(logProbabilities(asked, batch)) : new Array<number>(2 * pairs).fill(0);
  const end = batch.cuSeqlens[pairs] as number;
  let [chosenNll, nllTokens] = [0, 0];
  for (let t = 0; t < end; t++) {
    if ((batch.labels[t] as number) < 0) continue;
    chosenNll += nll[t] as number;
    nllTokens++;
  }
  const of: PairFigures = {
    chosen: logps.slice(0, pairs),
    rejected: logps.slice(pairs),
    referenceChosen: batch.reference?.chosen ?? referred.slice(0, pairs),
    referenceRejected: batch.reference?.rejected ?? referred.slice(pairs),
    chosenTokens: answerTokens.slice(0, pairs),
    rejectedTokens: answerTokens.slice(pairs),
    chosenNll: chosenNll / Math.max(nllTokens, 1),
  };
  return { of, nllTokens };
}

/** A log-probability is minus a weighted sum of nll: its derivative spreads over the tokens with those weights. */
function tokenGradient(
  { average }: PairMethod,
  { cuSeqlens, weights, labels, answerTokens, pairs, answers }: PairBatch,
  { chosen, rejected, nll = 0 }: PairJudgement,
  nllTokens: number,
  scale: number,
): Float32Array {
  const gradient = new Float32Array(labels.length);
  for (let answer = 0; answer < answers; answer++) {
    const slope = answer < pairs ? chosen[answer] : rejected[answer - pairs];
    const each = (scale * (slope as number)) / (average ? Math.max(answerTokens[answer] as number, 1) : 1);
    const imitate = answer < pairs ? (scale * nll) / Math.max(nllTokens, 1) : 0;
    for (let t = cuSeqlens[answer] as number; t < (cuSeqlens[answer + 1] as number); t++) {
      if ((labels[t] as number) >= 0) gradient[t] = imitate - each * (weights[t] as number);
    }
  }
  return gradient;
}

function pairMetrics({ chosen, rejected }: PairFigures, { rewards, metrics = {} }: PairJudgement, pairs: number) {
  const mean = (values: readonly number[]): Sum => ({ sum: values.reduce((a, b) => a + b, 0), weight: pairs });
  const margins = rewards.chosen.map((reward, i) => reward - (rewards.rejected[i] as number));
  return {
    'rewards/chosen': mean(rewards.chosen),
    'rewards/rejected': mean(rewards.rejected),
    'rewards/accuracies': mean(margins.map((margin) => (margin > 0 ? 1 : 0))),
    'rewards/margins': mean(margins),
    'logps/chosen': mean(chosen),
    'logps/rejected': mean(rejected),
    ...Object.fromEntries(
      Object.entries(metrics).map(([name, value]) => [name, { sum: value * pairs, weight: pairs }]),
    ),
  };
}
