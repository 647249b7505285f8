import { higherIsBetter, type Score } from '../tasks/metrics.js';
import type { DocumentScores } from './scores.js';
import { discordance, mcnemarExact, type PairedBootstrap, pairedBootstrap } from './statistics.js';

export interface Comparison extends PairedBootstrap {
  /** "arc_easy acc,none" */
  readonly name: string;
  readonly baseline: number;
  readonly candidate: number;
  readonly documents: number;
  readonly test: 'McNemar' | 'bootstrap';
  readonly higherIsBetter: boolean;
  /** Documents that only one model has right; of shares alone. */
  readonly lost?: number;
  readonly gained?: number;
  /** better or worse when p is below alpha, else no difference that could be told. */
  readonly verdict: 'better' | 'worse' | 'same';
}

type Pair = readonly [baseline: Score, candidate: Score];

/**
 * Compares the figures that both models have, over the documents that both were asked.
 * @param alpha p-value below which a difference counts
 */
export function compareScores(baseline: DocumentScores, candidate: DocumentScores, alpha: number): Comparison[] {
  return [...baseline].flatMap(([name, before]) => {
    const after = candidate.get(name);
    if (!after) return [];
    const pairs = [...before].flatMap(([document, score]): Pair[] => {
      const other = after.get(document);
      return other === undefined ? [] : [[score, other]];
    });
    return pairs.length === 0 ? [] : [compare(name, pairs, alpha)];
  });
}

function compare(name: string, pairs: readonly Pair[], alpha: number): Comparison {
  const metric = name.replace(/^.* /, '').split(',')[0]!;
  const figure = (sample: readonly Pair[], side: 0 | 1) => total(metric, sample, side);
  const bootstrap = pairedBootstrap(pairs, (sample) => figure(sample, 1) - figure(sample, 0));
  const shares = pairs.every((pair) => pair.every((score) => score === 0 || score === 1));
  const sides = shares
    ? discordance(
        pairs.map(([score]) => score as number),
        pairs.map(([, score]) => score as number),
      )
    : undefined;
  const pValue = sides ? mcnemarExact(sides) : bootstrap.pValue;
  const upwards = higherIsBetter(metric);
  const improved = upwards ? bootstrap.difference > 0 : bootstrap.difference < 0;
  return {
    name,
    baseline: figure(pairs, 0),
    candidate: figure(pairs, 1),
    documents: pairs.length,
    test: sides ? 'McNemar' : 'bootstrap',
    ...sides,
    ...bootstrap,
    pValue,
    higherIsBetter: upwards,
    verdict: pValue >= alpha || bootstrap.difference === 0 ? 'same' : improved ? 'better' : 'worse',
  };
}

function total(metric: string, pairs: readonly Pair[], side: 0 | 1): number {
  let sum = 0;
  let weight = 0;
  for (const pair of pairs) {
    const score = pair[side];
    sum += typeof score === 'number' ? score : -score.logLikelihood;
    weight += typeof score === 'number' ? 1 : score.weight;
  }
  if (metric === 'bits_per_byte') return sum / weight / Math.LN2;
  return higherIsBetter(metric) ? sum / weight : Math.exp(sum / weight);
}
