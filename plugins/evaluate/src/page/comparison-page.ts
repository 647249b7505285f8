import type { Comparison } from '../compare/compare.js';
import { comparisonColumns, comparisonRow } from '../compare/table.js';
import { differenceChart } from './charts.js';
import { facts, page, table } from './html.js';

/** Two models side by side: differences with their intervals, and how sure they are. */
export function comparisonPage(
  comparisons: readonly Comparison[],
  files: { baseline: string; candidate: string },
): string {
  return page('Comparison of two models', [
    facts([
      ['baseline', files.baseline],
      ['candidate', files.candidate],
    ]),
    '<h2>Differences, with 95 % intervals</h2>',
    ...charts(comparisons),
    '<h2>Figures</h2>',
    table(comparisonColumns, comparisons.map(comparisonRow)),
  ]);
}

/** Shares and perplexities have scales of their own. */
function charts(comparisons: readonly Comparison[]): string[] {
  return [true, false].flatMap((shares) => {
    const own = comparisons.filter(({ higherIsBetter }) => higherIsBetter === shares);
    const differences = own.map(({ name, difference, interval95, verdict }) => ({
      label: name.replace(',none', ''),
      value: difference,
      interval: interval95,
      text: `${difference > 0 ? '+' : ''}${difference.toFixed(4)}`,
      colour: COLOURS[verdict],
    }));
    const title = `Candidate minus baseline: ${shares ? 'more is better' : 'less is better'}`;
    return own.length === 0 ? [] : [`<p class="soft">${title}</p>`, differenceChart(title, differences)];
  });
}

const COLOURS = { better: 'good', worse: 'bad', same: 'soft' } as const;
