import { join } from 'node:path';
import type { StepContext } from '@largeforge/core';
import { writeJson, writeTextFile } from '@largeforge/engine';
import { knownLoaders, type QuantizationScheme } from './checkpoint/format.js';
import type { Comparison } from './measure.js';
import type { GateOptions } from './options.js';
import { reportPage } from './page.js';

export interface LayerReport {
  readonly name: string;
  readonly shape: readonly [outFeatures: number, inFeatures: number];
  /** Squared error of its outputs on the calibration rows over the outputs themselves, where the method knows it. */
  readonly relativeError: number | undefined;
}

/** What became of a model, as report.json has it. */
export interface QuantizationReport {
  readonly method: string;
  readonly model: string;
  readonly output: string;
  readonly scheme: QuantizationScheme;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly calibration: { readonly file: string; readonly windows: number; readonly sequenceLength: number };
  readonly layers: readonly LayerReport[];
  readonly sizes: {
    readonly weights: number;
    readonly quantizedWeights: number;
    readonly bytesBefore: number;
    readonly bytesAfter: number;
    /** Of the quantised layers, scales, zeros and indices included. */
    readonly bitsPerWeight: number;
  };
  /** Undefined where there was nothing to compare on. */
  readonly comparison: Comparison | undefined;
  readonly gate: GateOptions;
  /** What the gate found wanting; empty when the model was kept. */
  readonly failures: readonly string[];
  readonly seconds: number;
  /** Most memory that the process held so far. */
  readonly peakMemoryBytes: number;
}

/** Rows of the figures that the terminal and the page show. */
export function summary({
  scheme,
  sizes,
  comparison,
  seconds,
  peakMemoryBytes,
}: QuantizationReport): [string, string][] {
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const { bits, groupSize, symmetric, format } = scheme;
  return [
    ['scheme', `${bits} bits, groups of ${groupSize}, ${symmetric ? 'symmetric' : 'with zero points'}, ${format}`],
    ['loads in', knownLoaders(scheme)],
    ['size', `${megabytes(sizes.bytesBefore)} to ${megabytes(sizes.bytesAfter)}`],
    ['bits per quantised weight', sizes.bitsPerWeight.toFixed(3)],
    ...(comparison
      ? ([
          ['perplexity', `${comparison.basePerplexity.toFixed(3)} to ${comparison.perplexity.toFixed(3)}`],
          ['KL divergence', `${comparison.kl.toFixed(4)} nats`],
          ['same best token', `${(100 * comparison.top1).toFixed(1)} %`],
          ['compared on', `${comparison.windows} windows, ${comparison.positions} positions`],
        ] as [string, string][])
      : ([['compared on', 'nothing: the calibration text has no windows left, and gate.dataset is not given']] as [
          string,
          string,
        ][])),
    ['time', `${seconds.toFixed(1)} s`],
    ['peak memory', megabytes(peakMemoryBytes)],
  ];
}

/** Writes report.json and report.html to a folder and shows the figures. */
export function writeReport(
  context: Pick<StepContext, 'name' | 'events'>,
  report: QuantizationReport,
  folder: string,
): { report: string; page: string } {
  const files = { report: join(folder, 'report.json'), page: join(folder, 'report.html') };
  writeJson(files.report, report);
  writeTextFile(files.page, reportPage(report));
  context.events.emit({ type: 'table', task: context.name, columns: ['figure', 'value'], rows: summary(report) });
  return files;
}
