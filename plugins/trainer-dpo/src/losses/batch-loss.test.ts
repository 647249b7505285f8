import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { PairLogps } from '../pairs.js';
import { type BatchGradient, batchLosses, type LossName, weightedLoss } from './batch-loss.js';
import { divergence } from './divergence.js';
import type { LossSettings } from './pair-losses.js';

interface Case extends BatchGradient {
  readonly terms: readonly { readonly name: LossName; readonly weight: number }[];
  readonly settings: LossSettings;
}

const file = new URL('../../fixtures/trl_losses.json', import.meta.url);
const record: { batch: PairLogps; cases: Case[] } = JSON.parse(readFileSync(file, 'utf8'));
const { batch } = record;
const title = ({ terms, settings }: Case) => `${terms.map((term) => term.name).join(' + ')}, beta ${settings.beta}`;
const cases = record.cases.map((each): [string, Case] => [title(each), each]);

const reverseKl = divergence('reverse_kl', 1);
const settings = { beta: 0.3, labelSmoothing: 0.2, discopopTau: 0.4, divergence: reverseKl };
const step = 1e-6;

describe('a preference loss', () => {
  it.each(cases)("is TRL's, and so are its derivatives: %s", (_, expected) => {
    const found = weightedLoss(expected.terms)(batch, { divergence: reverseKl, ...expected.settings });
    expect(Math.abs(found.loss - expected.loss)).toBeLessThan(1e-9);
    for (const side of ['chosen', 'rejected'] as const)
      for (const [i, slope] of expected[side].entries())
        expect(Math.abs((found[side][i] as number) - slope)).toBeLessThan(1e-9);
  });

  it.each(Object.entries(batchLosses))('has the derivatives that finite differences give: %s', (_, loss) => {
    const { chosen, rejected } = loss(batch, settings);
    const slopes = { chosen, rejected };
    for (const side of ['chosen', 'rejected'] as const)
      for (const i of batch[side].keys()) {
        const moved = (by: number) =>
          loss({ ...batch, [side]: batch[side].map((logp, j) => (j === i ? logp + by : logp)) }, settings).loss;
        const slope = (moved(step) - moved(-step)) / (2 * step);
        expect(Math.abs((slopes[side][i] as number) - slope)).toBeLessThan(1e-6);
      }
  });

  it.each(['sigmoid', 'nca_pair', 'robust', 'bco_pair', 'aot'] as const)(
    'stays finite however far a pair has moved from the reference: %s',
    (name) => {
      for (const logp of [-1e4, -1e6]) {
        const far = { ...batch, chosen: batch.chosen.map(() => logp) };
        const { loss, chosen, rejected } = batchLosses[name](far, settings);
        expect([loss, ...chosen, ...rejected].every(Number.isFinite)).toBe(true);
      }
    },
  );

  it('starts at ln 2 where model and reference agree', () => {
    const same = { ...batch, referenceChosen: batch.chosen, referenceRejected: batch.rejected };
    expect(batchLosses.sigmoid(same, settings).loss).toBeCloseTo(Math.LN2, 12);
  });
});
