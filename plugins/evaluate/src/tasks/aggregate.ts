import { PhiloxStream } from '@largeforge/engine';
import { wilsonInterval } from '../interval.js';
import type { Score } from './metrics.js';

const RESAMPLES = 1000;

export interface Aggregate {
  readonly value: number;
  /** Standard error, as lm-evaluation-harness reports it: of a mean by its formula, else by bootstrap. */
  readonly standardError: number;
  /** 95 %: Wilson's of shares of ones, else percentiles of the bootstrap. */
  readonly interval95: readonly [low: number, high: number];
}

/** A metric over all documents. */
export function aggregate(metric: string, scores: readonly Score[]): Aggregate {
  const figure = (each: readonly Score[]) => aggregateValue(metric, each);
  const value = figure(scores);
  const numbers = scores.filter((score) => typeof score === 'number');
  if (numbers.length === scores.length) {
    const squares = numbers.reduce((sum, score) => sum + (score - value) ** 2, 0);
    const standardError = Math.sqrt(squares / (numbers.length - 1) / numbers.length);
    const isShare = numbers.every((score) => score === 0 || score === 1);
    const interval95 = isShare
      ? wilsonInterval(Math.round(value * numbers.length), numbers.length)
      : percentiles(bootstrap(scores, figure));
    return { value, standardError: Number.isFinite(standardError) ? standardError : 0, interval95 };
  }
  const figures = bootstrap(scores, figure);
  const mean = figures.reduce((sum, each) => sum + each, 0) / figures.length;
  const standardError = Math.sqrt(figures.reduce((sum, each) => sum + (each - mean) ** 2, 0) / (figures.length - 1));
  return { value, standardError, interval95: percentiles(figures) };
}

function aggregateValue(metric: string, scores: readonly Score[]): number {
  let sum = 0;
  let weight = 0;
  for (const score of scores) {
    sum += typeof score === 'number' ? score : -score.logLikelihood;
    weight += typeof score === 'number' ? 1 : score.weight;
  }
  if (metric === 'bits_per_byte') return sum / weight / Math.LN2;
  return metric.endsWith('perplexity') ? Math.exp(sum / weight) : sum / weight;
}

/** Figures of samples drawn from the documents with replacement (Efron 1979); the same for the same documents. */
export function bootstrap<T>(items: readonly T[], figure: (sample: readonly T[]) => number): number[] {
  const random = new PhiloxStream(1234, 0);
  return Array.from({ length: RESAMPLES }, () => figure(items.map(() => items[random.below(items.length)]!)));
}

/** The middle 95 % of figures. */
export function percentiles(figures: readonly number[]): [low: number, high: number] {
  const sorted = [...figures].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))]!;
  return [at(0.025), at(0.975)];
}
