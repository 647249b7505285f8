import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import type { RunEvent } from '@largeforge/core';
import { runTraining, stepsOf as steps, type TrainingFlags } from '@largeforge/trainer/testing';
import trainerDistill from './index.js';

export const base = fileURLToPath(new URL('../../../examples/quickstart/base', import.meta.url));
let folder: string;
/** A path in the folder of the test. */
export const file = (...names: string[]) => join(folder, ...names);

/** A folder with rows, for `beforeEach`. */
export function beginFolder(): void {
  folder = mkdtempSync(join(tmpdir(), 'largeforge-distill-'));
  const rows = Array.from({ length: 16 }, (_, i) => ({
    messages: [
      { role: 'user', content: `say ${'abcdefgh'[i % 8]}` },
      { role: 'assistant', content: `${'abcdefgh'[(i + 1) % 8]}`.repeat(1 + (i % 5)) },
    ],
  }));
  writeFileSync(file('rows.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
}

export const endFolder = (): void => rmSync(folder, { recursive: true });

/** Runs a distillation of the base model by itself on a few rows, as a config says it. */
export const run = (options: Record<string, unknown>, flags?: TrainingFlags) =>
  runTraining(
    { folder, plugins: [backendCpu, trainerDistill], use: 'distill' },
    { model: base, teacher: base, dataset: file('rows.jsonl'), batchSize: 4, seed: 3, ...options },
    flags,
  );

export { steps };
export const divergences = (events: readonly RunEvent[]) =>
  steps(events).map(({ metrics }) => metrics?.divergence as number);
