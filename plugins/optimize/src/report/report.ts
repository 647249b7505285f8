import { join } from 'node:path';
import type { StepContext } from '@largeforge/core';
import { writeJson, writeTextFile } from '@largeforge/engine';
import { optimizeErrors } from '../errors.js';
import { type GateCheck, gateChecks } from '../gate/checks.js';
import type { Comparison } from '../gate/compare.js';
import type { GateOptions } from '../gate/options.js';
import type { TaskComparison } from '../gate/tasks.js';
import type { StagedModel } from '../output.js';
import { reportPage } from './page.js';

/** What became of one layer. */
export interface LayerReport {
  readonly name: string;
  readonly shape: readonly [outFeatures: number, inFeatures: number];
  /** Squared error of its outputs on the calibration rows over the outputs themselves, where the method knows it. */
  readonly relativeError?: number | undefined;
  /** Share of its weights that are 0. */
  readonly sparsity?: number | undefined;
}

export interface Sizes {
  readonly weights: number;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** Weights of the original, where there are fewer now. */
  readonly weightsBefore?: number;
  /** Weights that the method changed, and the bits that each takes: scales, zeros, indices and masks included. */
  readonly changedWeights?: number;
  readonly bitsPerWeight?: number;
}

/** What became of a model, as report.json has it. */
export interface OptimizationReport {
  /** "quantised", "pruned", "merged" */
  readonly action: string;
  readonly method: string;
  readonly model: string;
  readonly output: string;
  /** What a reader wants to know of the method at once. */
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly settings: Readonly<Record<string, unknown>>;
  readonly calibration?: { readonly source: string; readonly windows: number; readonly sequenceLength: number };
  readonly layers: readonly LayerReport[];
  readonly sizes: Sizes;
  /** Undefined where there was nothing to compare on. */
  readonly comparison: Comparison | undefined;
  readonly tasks: readonly TaskComparison[];
  readonly gate: GateOptions;
  readonly seconds: number;
  /** Most memory that the process held so far. */
  readonly peakMemoryBytes: number;
}

/** A report with the verdict of its gate. */
export interface JudgedReport extends OptimizationReport {
  readonly checks: readonly GateCheck[];
  /** What the gate found wanting; empty when the model was kept. */
  readonly failures: readonly string[];
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

/** Rows of the figures that the terminal and the page show. */
export function summary(report: OptimizationReport): [string, string][] {
  const { facts, sizes, comparison, tasks, seconds, peakMemoryBytes } = report;
  const { bytesBefore, bytesAfter, weightsBefore, weights, bitsPerWeight, changedWeights } = sizes;
  const smaller = bytesAfter < bytesBefore ? ` (${(100 * (1 - bytesAfter / bytesBefore)).toFixed(1)} % less)` : '';
  const rows: [string, string][] = [
    ...facts.map(([name, value]): [string, string] => [name, value]),
    ['size', `${megabytes(bytesBefore)} to ${megabytes(bytesAfter)}${smaller}`],
  ];
  if (weightsBefore !== undefined && weightsBefore !== weights) {
    rows.push(['weights', `${(weightsBefore / 1e6).toFixed(1)} M to ${(weights / 1e6).toFixed(1)} M`]);
  }
  if (bitsPerWeight !== undefined) {
    rows.push([`bits per weight of the ${report.action} layers`, bitsPerWeight.toFixed(3)]);
    rows.push(['bits per weight of the model', ((8 * bytesAfter) / weights).toFixed(3)]);
  }
  if (changedWeights !== undefined) rows.push([`${report.action} weights`, `${(changedWeights / 1e6).toFixed(1)} M`]);
  if (comparison) {
    const { basePerplexity, perplexity, perplexityRatio, perplexityRatio95: interval } = comparison;
    const ratio = `x ${perplexityRatio.toFixed(4)}, 95 % ${interval.map((bound) => bound.toFixed(4)).join(' to ')}`;
    rows.push(
      ['perplexity', `${basePerplexity.toFixed(3)} to ${perplexity.toFixed(3)} (${ratio})`],
      ['KL divergence', `${comparison.kl.toFixed(4)} nats`],
      ['same best token', `${(100 * comparison.top1).toFixed(1)} %`],
      ['largest logit difference', `${(100 * comparison.logitDifference).toFixed(3)} % of the largest logit`],
      ['compared on', comparedOn(report, comparison)],
    );
  } else rows.push(['compared on', 'nothing: there was no text to compare on']);
  for (const { task, metric, before, after, documents } of tasks) {
    rows.push([`${task}, ${metric}`, `${before.toFixed(4)} to ${after.toFixed(4)} (${documents} documents)`]);
  }
  return [...rows, ['time', `${seconds.toFixed(1)} s`], ['peak memory', megabytes(peakMemoryBytes)]];
}

/** Which text, and how much of it. */
function comparedOn({ gate, calibration }: OptimizationReport, { windows, positions }: Comparison): string {
  const text =
    gate.dataset ??
    (calibration ? 'the calibration text that was left' : 'one sentence, as gate.dataset names no text');
  return `${positions} positions (${windows} ${windows === 1 ? 'window' : 'windows'}) of ${text}`;
}

/** The limits of a gate, and how the model stands to each. */
function verdict(checks: readonly GateCheck[]): [string, string][] {
  return checks.map(({ name, value, limit, passed }) => {
    const bound = limit === Number.MAX_VALUE ? 'must be finite' : `limit ${Number(limit.toPrecision(4))}`;
    return [`gate, ${name}`, `${passed ? 'passed' : 'FAILED'}: ${Number(value.toPrecision(4))}, ${bound}`];
  });
}

/** Layers that lost most, the worst first. */
export function worstLayers(layers: readonly LayerReport[], count: number): { name: string; relativeError: number }[] {
  return layers
    .flatMap(({ name, relativeError }) => (relativeError === undefined ? [] : [{ name, relativeError }]))
    .toSorted((a, b) => b.relativeError - a.relativeError)
    .slice(0, count);
}

/**
 * Judges a model that was written to its staging folder: puts it in its place and reports, or leaves it out and says why
 * (the report goes to `<folder>-rejected`). Throws LF_OPTIMIZE_GATE.
 */
export function finish(
  context: Pick<StepContext, 'name' | 'events'>,
  report: OptimizationReport,
  staged: StagedModel,
): { report: string; page: string } {
  const checks = gateChecks(report.comparison, report.tasks, report.gate);
  const failures = checks.flatMap(({ failure }) => failure ?? []);
  const judged = { ...report, checks, failures };
  if (failures.length > 0) {
    const { report: file } = writeReport(judged, `${staged.folder}-rejected`);
    show(context, judged, `${staged.folder}-rejected`);
    const worst = worstLayers(report.layers, 3).map(
      ({ name, relativeError }) => `${name} (${(100 * relativeError).toFixed(1)} % of its outputs)`,
    );
    throw optimizeErrors.LF_OPTIMIZE_GATE({ action: report.action, failures, worst, report: file });
  }
  // Beside the model while it is not in its place: where the report finds no room, the model of before stays.
  writeReport(judged, staged.partial);
  staged.commit();
  show(context, judged, staged.folder);
  return filesIn(staged.folder);
}

const filesIn = (folder: string) => ({ report: join(folder, 'report.json'), page: join(folder, 'report.html') });

/** Writes report.json and report.html to a folder. */
function writeReport(report: JudgedReport, folder: string): { report: string; page: string } {
  const files = filesIn(folder);
  writeJson(files.report, report);
  writeTextFile(files.page, reportPage(report));
  return files;
}

function show({ name, events }: Pick<StepContext, 'name' | 'events'>, report: JudgedReport, folder: string): void {
  const rows = [...summary(report), ...verdict(report.checks), ['report', filesIn(folder).page]];
  events.emit({ type: 'table', task: name, columns: ['figure', 'value'], rows });
}

/** Most memory that the process held so far. */
export const peakMemory = (): number => process.resourceUsage().maxRSS * 1024;
