import type { Objective, Sum } from './objective.js';
import type { RowSource } from './row-source.js';

/**
 * Mean of the objective's sums over rows, in their order. The loss comes with its perplexity when it is a mean over
 * tokens.
 */
export async function evaluateRows<Row, Batch>(
  objective: Objective<Row, Batch>,
  source: RowSource<Row>,
  rows: ArrayLike<number>,
  options: { batchSize: number; signal?: AbortSignal; onProgress?: (rows: number) => void },
): Promise<Record<string, number>> {
  const totals = new Map<string, Sum>();
  for (let from = 0; from < rows.length && !options.signal?.aborted; from += options.batchSize) {
    const indices = Array.prototype.slice.call(rows, from, from + options.batchSize) as number[];
    const sums = await objective.evaluate(objective.collate(await source.read(indices)));
    for (const [name, { sum, weight }] of Object.entries(sums)) {
      const before = totals.get(name) ?? { sum: 0, weight: 0 };
      totals.set(name, { sum: before.sum + sum, weight: before.weight + weight });
    }
    options.onProgress?.(from + indices.length);
  }
  // A figure that no row has (a mean over answers of a kind that did not occur) is none.
  const measured = [...totals].filter(([name, { weight }]) => weight > 0 || name === 'loss');
  return Object.fromEntries(measured.map(([name, { sum, weight }]) => [name, sum / weight]));
}
