import { bootstrap, percentiles } from '../tasks/aggregate.js';

/** How often two models differ on the same documents. */
export interface Discordance {
  /** Right with the baseline alone. */
  readonly lost: number;
  /** Right with the candidate alone. */
  readonly gained: number;
}

export function discordance(baseline: readonly number[], candidate: readonly number[]): Discordance {
  let lost = 0;
  let gained = 0;
  baseline.forEach((score, i) => {
    if (score > candidate[i]!) lost++;
    if (score < candidate[i]!) gained++;
  });
  return { lost, gained };
}

/**
 * Two-sided p-value of McNemar's exact test (McNemar 1947): documents on which only one model is right fall to either
 * side like a coin if the models are equally good.
 */
export function mcnemarExact({ lost, gained }: Discordance): number {
  const total = lost + gained;
  const few = Math.min(lost, gained);
  let tail = 0;
  let logTerm = -total * Math.LN2;
  for (let k = 0; k <= few; k++) {
    tail += Math.exp(logTerm);
    logTerm += Math.log((total - k) / (k + 1));
  }
  return Math.min(1, 2 * tail);
}

export interface PairedBootstrap {
  readonly difference: number;
  readonly interval95: readonly [low: number, high: number];
  /** Two-sided: how easily the difference could have the other sign. */
  readonly pValue: number;
}

/**
 * Paired bootstrap of the difference of two figures over the same documents (Koehn 2004): documents are drawn with
 * replacement, each with the scores of both models.
 * @param figure of a sample, candidate minus baseline
 */
export function pairedBootstrap<T>(pairs: readonly T[], figure: (sample: readonly T[]) => number): PairedBootstrap {
  const figures = bootstrap(pairs, figure);
  const notAbove = figures.filter((each) => each <= 0).length;
  const notBelow = figures.filter((each) => each >= 0).length;
  // One more of each, as the observed sample is one of those that could have been.
  const tail = (Math.min(notAbove, notBelow) + 1) / (figures.length + 1);
  return { difference: figure(pairs), interval95: percentiles(figures), pValue: Math.min(1, 2 * tail) };
}
