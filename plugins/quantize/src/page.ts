import { barChart, facts, page, table } from '@largeforge/evaluate';
import { type QuantizationReport, summary } from './report.js';

/** Layers that the page has a bar for. */
const CHARTED = 20;

/** What became of a model, to read: figures, the layers that lost most, and every layer. */
export function reportPage(report: QuantizationReport): string {
  const known = report.layers.flatMap(({ name, relativeError }) =>
    relativeError === undefined ? [] : [{ name, relativeError }],
  );
  const worst = known.toSorted((a, b) => b.relativeError - a.relativeError).slice(0, CHARTED);
  const most = worst[0]?.relativeError || 1;
  const settings = Object.entries({ ...report.settings, calibration: report.calibration }).map(
    ([name, value]) => [name, typeof value === 'object' ? JSON.stringify(value) : value] as const,
  );
  return page(`Quantised by ${report.method}`, [
    facts([['model', report.model], ['output', report.output], ...summary(report)]),
    ...(report.failures.length > 0
      ? [
          '<h2>Why it was not kept</h2>',
          table(
            ['limit'],
            report.failures.map((failure) => [failure]),
          ),
        ]
      : []),
    '<h2>Settings</h2>',
    facts(settings),
    ...(worst.length > 0
      ? [
          '<h2>Layers that lost most</h2>',
          '<p class="soft">Squared error of the outputs on the calibration text, as a share of the outputs.</p>',
          barChart(
            'Relative error of layers',
            worst.map(({ name, relativeError }) => ({
              label: name.replace(/^model\./, ''),
              value: relativeError,
              interval: [relativeError, relativeError],
              text: relativeError.toExponential(2),
            })),
            most,
          ),
        ]
      : []),
    '<h2>Every layer</h2>',
    table(
      ['layer', 'shape', 'relative error'],
      report.layers.map(({ name, shape, relativeError }) => [
        name,
        shape.join(' x '),
        relativeError?.toExponential(3) ?? '',
      ]),
    ),
  ]);
}
