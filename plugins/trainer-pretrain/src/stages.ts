import type { RowSource } from '@largeforge/engine';
import { type DomainRow, drawStages, type Stage } from './mixture.js';
import type { PretrainOptions } from './options.js';

/**
 * Rows of a run, in order, by the weights of the domains and the curriculum. An epoch has as many tokens as make one pass
 * over the first domain at its share.
 * @param scores how hard each row is, for the curriculum by score
 */
export function rowsOfRun(
  options: Pick<PretrainOptions, 'domains' | 'curriculum' | 'epochs' | 'seed'>,
  { lengths }: Pick<RowSource<DomainRow>, 'lengths'>,
  starts: readonly number[],
  scores?: ArrayLike<number>,
): Uint32Array {
  const { domains, curriculum, epochs, seed } = options;
  const sizes = domains.map((_, d) => tokensBetween(lengths, starts[d] as number, starts[d + 1] as number));
  const shares = normalised(domains.map(({ weight }, d) => weight ?? (sizes[d] as number)));
  const total = (epochs * (sizes[0] as number)) / (shares[0] as number);
  const rows = drawStages(stagesOf(options, shares, total), lengths, starts, seed);
  const hardness = curriculum === 'length' ? lengths : curriculum === 'score' ? scores : undefined;
  if (!hardness) return rows;
  // Sorting is stable: documents of one length stay shuffled.
  return rows.sort((a, b) => (hardness[a] as number) - (hardness[b] as number));
}

function stagesOf(
  { curriculum, domains }: Pick<PretrainOptions, 'domains' | 'curriculum'>,
  shares: number[],
  total: number,
): Stage[] {
  if (typeof curriculum === 'string') return [{ tokens: total, shares }];
  const parts = normalised(curriculum.stages.map(({ share }) => share));
  return curriculum.stages.map(({ weights }, s) => ({
    tokens: (parts[s] as number) * total,
    shares: normalised(domains.map(({ name }) => weights[name] ?? 0)),
  }));
}

function tokensBetween(lengths: ArrayLike<number>, from: number, to: number): number {
  let sum = 0;
  for (let row = from; row < to; row++) sum += lengths[row] as number;
  return sum;
}

function normalised(values: readonly number[]): number[] {
  const sum = values.reduce((total, value) => total + value, 0);
  return values.map((value) => value / sum);
}
