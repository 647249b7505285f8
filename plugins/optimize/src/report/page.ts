import { type Bar, barChart, facts, page, table } from '@largeforge/evaluate';
import { type JudgedReport, summary, worstLayers } from './report.js';

/** Layers that the page has a bar for. */
const CHARTED = 20;

/** What became of a model, to read: figures, sizes, the verdict of the gate, and where it lost most. */
export function reportPage(report: JudgedReport): string {
  const { action, method, model, output, settings, calibration, layers, comparison, checks, failures } = report;
  const shown = Object.entries({ ...settings, ...(calibration && { calibration }) })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, typeof value === 'object' ? JSON.stringify(value) : value] as const);
  return page(`${action[0]!.toUpperCase()}${action.slice(1)} by ${method}`, [
    ...(failures.length > 0 ? [`<p class="bad">The model was not kept.</p>`] : []),
    facts([['model', model], ['output', output], ...summary(report)]),
    ...section('Why it was not kept', failures, () => [
      table(
        ['limit'],
        failures.map((failure) => [failure]),
      ),
    ]),
    ...section('Gate', checks, () => [
      table(
        ['figure', 'value', 'limit', ''],
        checks.map(({ name, value, limit, passed }) => [
          name,
          figure(value),
          limit === Number.MAX_VALUE ? 'finite' : figure(limit),
          passed ? 'passed' : 'FAILED',
        ]),
      ),
    ]),
    '<h2>Size</h2>',
    sizeChart(report),
    ...section('Where the predictions go astray', comparison?.drift ?? [], (drift) => [
      '<p class="soft">Relative error of what leaves each layer, on one text, beside the original.</p>',
      chart(
        'Drift by layer',
        drift.map((value, layer) => ({ label: `layer ${layer}`, value, text: figure(value) })),
      ),
    ]),
    ...section('Layers that lost most', worstLayers(layers, CHARTED), (worst) => [
      '<p class="soft">Squared error of the outputs on the calibration text, as a share of the outputs.</p>',
      chart(
        'Relative error of layers',
        worst.map(({ name, relativeError }) => ({
          label: name.replace(/^model\./, ''),
          value: relativeError,
          text: relativeError.toExponential(2),
        })),
      ),
    ]),
    ...section('Settings', shown, () => [facts(shown)]),
    ...section('Every layer', layers, () => [layerTable(report)]),
  ]);
}

/** A heading with its content, left out when there is nothing to show. */
function section<T>(title: string, items: readonly T[], content: (items: readonly T[]) => string[]): string[] {
  return items.length === 0 ? [] : [`<h2>${title}</h2>`, ...content(items)];
}

function sizeChart({ sizes: { bytesBefore, bytesAfter } }: JudgedReport): string {
  const bar = (label: string, bytes: number) => ({ label, value: bytes, text: `${(bytes / 1e6).toFixed(1)} MB` });
  return chart('Size before and after', [bar('before', bytesBefore), bar('after', bytesAfter)]);
}

/** Bars as long as their values; the longest takes the whole width. */
function chart(title: string, bars: readonly Omit<Bar, 'interval'>[]): string {
  const most = Math.max(...bars.map(({ value }) => value)) || 1;
  return barChart(
    title,
    bars.map((bar) => ({ ...bar, interval: [bar.value, bar.value] })),
    most,
  );
}

function layerTable({ layers }: JudgedReport): string {
  const sparse = layers.some(({ sparsity }) => sparsity !== undefined);
  return table(
    ['layer', 'shape', 'relative error', ...(sparse ? ['zeros'] : [])],
    layers.map(({ name, shape, relativeError, sparsity }) => [
      name,
      shape.join(' x '),
      relativeError?.toExponential(3) ?? '',
      ...(sparse ? [sparsity === undefined ? '' : `${(100 * sparsity).toFixed(1)} %`] : []),
    ]),
  );
}

const figure = (value: number) => (Math.abs(value) >= 1e-3 || value === 0 ? value.toFixed(4) : value.toExponential(2));
