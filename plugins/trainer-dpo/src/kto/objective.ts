import type { JudgedRow } from '@largeforge/data';
import {
  type CausalLanguageModel,
  type HostResult,
  type Objective,
  type Sum,
  scope,
  type TokenRow,
  withoutTape,
} from '@largeforge/engine';
import { type AnswerBatch, answerBatch, logProbabilities } from '../answers/answer-batch.js';
import { answerNll, answerResults } from '../answers/read-back.js';
import { tokenFigures } from '../answers/token-figures.js';
import type { Reference } from '../reference/reference.js';
import { type KtoSettings, ktoLoss } from './loss.js';

/** Answers with their verdicts, and the same answers behind each other's prompts. */
export interface JudgedBatch extends AnswerBatch {
  readonly desirable: readonly boolean[];
  /** Answer i - 1 to prompt i: what the model's distance from the reference is estimated on. */
  readonly mismatched: AnswerBatch | undefined;
}

/**
 * Learning from judged answers. The loss of an optimiser step is a mean over its answers; the KL estimate is that of
 * each micro-batch.
 */
export function ktoObjective(
  model: CausalLanguageModel,
  settings: KtoSettings,
  reference: Reference,
): Objective<JudgedRow, JudgedBatch> {
  const estimates = settings.loss === 'kto';
  const ask = (batch: JudgedBatch) => {
    const { mismatched } = batch;
    const asked = [reference.nll(batch)];
    if (!mismatched) return asked;
    return [...asked, withoutTape(() => answerNll(model, mismatched)), reference.nll(mismatched)];
  };
  return {
    name: `kto ${JSON.stringify(settings)}`,
    collate: (rows) => judgedBatch(rows, estimates),
    weight: (batch) => batch.answers,
    tokens: (batch) => batch.tokens.length + (batch.mismatched?.tokens.length ?? 0),
    loss(batch, { scale, forward }) {
      const asked = ask(batch);
      const { nll, entropy, argmax } = answerResults(model, model.hidden(batch, forward), batch);
      return {
        values: nll,
        reads: [nll, entropy, argmax, ...asked],
        finish: (read) => judge(settings, batch, read, scale),
      };
    },
    async evaluate(batch) {
      const reads = scope(() => {
        const asked = ask(batch);
        const { nll, entropy, argmax } = answerResults(model, model.hidden(batch), batch);
        return [nll, entropy, argmax, ...asked];
      });
      const read = await Promise.all(reads.map((tensor) => (tensor.dtype === 'i32' ? tensor.ints() : tensor.floats())));
      for (const tensor of reads) tensor.dispose();
      const { loss, metrics } = judge(settings, batch, read, 1);
      return { loss: { sum: loss, weight: batch.answers }, ...metrics };
    },
  };
}

function judgedBatch(rows: readonly JudgedRow[], estimates: boolean): JudgedBatch {
  return {
    ...answerBatch(rows),
    desirable: rows.map(({ verdict }) => verdict === 'chosen'),
    mismatched: estimates ? answerBatch(rotated(rows)) : undefined,
  };
}

/** Each prompt with the answer of the row before it; the first with that of the last. */
function rotated(rows: readonly TokenRow[]): TokenRow[] {
  const parts = rows.map(({ tokens, mask }) => {
    const border = mask.indexOf(1);
    return { prompt: tokens.subarray(0, border), answer: tokens.subarray(border), mask: mask.subarray(border) };
  });
  return parts.map(({ prompt }, i) => {
    const { answer, mask } = parts.at(i - 1) as (typeof parts)[number];
    return {
      tokens: Int32Array.from([...prompt, ...answer]),
      mask: Uint8Array.from([...new Uint8Array(prompt.length), ...mask]),
    };
  });
}

function judge(
  settings: KtoSettings,
  batch: JudgedBatch,
  [nll, entropy, argmax, asked, drifted, askedDrifted]: readonly ArrayLike<number>[],
  scale: number,
): HostResult {
  if (!nll || !entropy || !argmax || !asked) throw new RangeError('a batch needs its own results and the reference');
  const { answers, desirable, mismatched } = batch;
  const logps = logProbabilities(nll, batch);
  const referred = logProbabilities(asked, batch);
  const ratios = logps.map((logp, i) => logp - (referred[i] as number));
  const kl =
    mismatched && drifted && askedDrifted
      ? Math.max(0, mean(logProbabilities(drifted, mismatched)) - mean(logProbabilities(askedDrifted, mismatched)))
      : 0;
  const { loss, slopes } = ktoLoss({ ratios, desirable, kl }, settings);
  const gradient = new Float32Array(nll.length);
  for (const [answer, slope] of slopes.entries()) {
    for (let t = batch.cuSeqlens[answer] as number; t < (batch.cuSeqlens[answer + 1] as number); t++) {
      gradient[t] = -scale * answers * slope * (batch.weights[t] as number);
    }
  }
  const sum = (of: readonly number[], good: boolean): Sum => ({
    sum: of.reduce((total, value, i) => total + (desirable[i] === good ? value : 0), 0),
    weight: desirable.filter((verdict) => verdict === good).length,
  });
  const rewards = ratios.map((ratio) => settings.beta * ratio);
  const [good, bad] = [sum(rewards, true), sum(rewards, false)];
  const margin = { sum: good.sum / good.weight - bad.sum / bad.weight, weight: 1 };
  return {
    loss: loss * answers,
    gradient,
    metrics: {
      kl: { sum: kl, weight: 1 },
      'rewards/chosen': good,
      'rewards/rejected': bad,
      'rewards/margins': good.weight > 0 && bad.weight > 0 ? margin : { sum: 0, weight: 0 },
      'logps/chosen': sum(logps, true),
      'logps/rejected': sum(logps, false),
      entropy: tokenFigures(batch, entropy, argmax, answers).entropy,
    },
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
