import { join } from 'node:path';
import { writeJson, writeTextFile } from '@largeforge/engine';
import type { Evaluation } from './evaluation.js';
import type { RoutedText } from './rows.js';
import type { Calibration } from './train-router.js';

/** What a training leaves for people to read. */
export interface TrainingReport {
  readonly trainingRows: number;
  readonly validationRows: number;
  readonly seconds: number;
  readonly calibration: Calibration;
  /** On the validation rows, on which thresholds were chosen: a little better than on new rows. */
  readonly validation: Readonly<Record<string, Evaluation>>;
  /** On rows that nothing was chosen on. */
  readonly test?: Readonly<Record<string, Evaluation>>;
}

/** Writes report.json, report.md and confusion.csv (of the hybrid strategy) beside the router. */
export function writeReport(folder: string, report: TrainingReport): void {
  const figures = (evaluations: Readonly<Record<string, Evaluation>>) =>
    Object.fromEntries(
      Object.entries(evaluations).map(([name, { confusion: _, ...rest }]) => [
        name,
        Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, Number.isNaN(value) ? null : value])),
      ]),
    );
  writeJson(join(folder, 'report.json'), {
    ...report,
    validation: figures(report.validation),
    ...(report.test && { test: figures(report.test) }),
  });
  const shown = (report.test ?? report.validation).hybrid!;
  writeTextFile(join(folder, 'report.md'), markdown(report, shown));
  writeTextFile(join(folder, 'confusion.csv'), confusionTable(shown));
}

/** The confusion matrix as CSV: a row for each expert, a column for each that it was given to. */
export function confusionTable({ confusion }: Pick<Evaluation, 'confusion'>): string {
  const names = new Set<string | null>(confusion.keys());
  for (const row of confusion.values()) for (const name of row.keys()) names.add(name);
  const sorted = [...names].sort((a, b) => (a === null ? 1 : b === null ? -1 : a < b ? -1 : 1));
  const cell = (name: string | null) =>
    name === null ? '(none)' : /[",\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name;
  const lines = sorted.map((expert) =>
    [cell(expert), ...sorted.map((given) => String(confusion.get(expert)?.get(given) ?? 0))].join(','),
  );
  return `${[['expert', ...sorted.map(cell)].join(','), ...lines].join('\n')}\n`;
}

/** How many rows each expert has; the smallest tell where more are needed. */
export function countByExpert(rows: readonly RoutedText[]): Map<string | null, number> {
  const counts = new Map<string | null, number>();
  for (const { expert } of rows) counts.set(expert, (counts.get(expert) ?? 0) + 1);
  return counts;
}

export const percent = (share: number): string => (Number.isNaN(share) ? '–' : `${(100 * share).toFixed(2)} %`);

function markdown(report: TrainingReport, shown: Evaluation): string {
  const table = (title: string, evaluations: Readonly<Record<string, Evaluation>>) => [
    `## ${title}`,
    '',
    '| strategy | rows | in-scope accuracy | out-of-scope recall | p50 ms | p99 ms |',
    '| --- | --- | --- | --- | --- | --- |',
    ...Object.entries(evaluations).map(
      ([name, { rows, inScopeAccuracy, outOfScopeRecall, p50, p99 }]) =>
        `| ${name} | ${rows} | ${percent(inScopeAccuracy)} | ${percent(outOfScopeRecall)} | ${p50.toFixed(2)} | ${p99.toFixed(2)} |`,
    ),
    '',
  ];
  const confused = [...shown.confusion]
    .flatMap(([expert, row]) => [...row].map(([given, count]) => ({ expert, given, count })))
    .filter(({ expert, given }) => expert !== given)
    .sort((a, b) => b.count - a.count)
    .slice(0, 20);
  const { temperature, expectedCalibrationError } = report.calibration;
  return [
    '# Router',
    '',
    `Trained on ${report.trainingRows} rows in ${report.seconds.toFixed(0)} s; ${report.validationRows} rows held out.`,
    `Temperature ${temperature.toFixed(3)}; expected calibration error ${percent(expectedCalibrationError)}.`,
    '',
    ...table('Validation (thresholds were chosen on these rows)', report.validation),
    ...(report.test ? table('Test', report.test) : []),
    '## Most frequent confusions (hybrid)',
    '',
    '| rows of | given to | how often |',
    '| --- | --- | --- |',
    ...confused.map(({ expert, given, count }) => `| ${expert ?? '(none)'} | ${given ?? '(none)'} | ${count} |`),
    '',
    'The whole matrix is in confusion.csv.',
    '',
  ].join('\n');
}
