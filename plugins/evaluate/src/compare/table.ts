import type { Comparison } from './compare.js';

export const comparisonColumns = [
  'metric',
  'baseline',
  'candidate',
  'difference',
  '95 % interval',
  'p',
  'test',
  'documents',
  'verdict',
];

export function comparisonRow(each: Comparison): (string | number)[] {
  const sign = each.difference > 0 ? '+' : '';
  return [
    each.name,
    each.baseline.toFixed(4),
    each.candidate.toFixed(4),
    `${sign}${each.difference.toFixed(4)}`,
    each.interval95.map((bound) => bound.toFixed(4)).join(' to '),
    each.pValue.toPrecision(2),
    each.test,
    each.documents,
    each.verdict,
  ];
}
