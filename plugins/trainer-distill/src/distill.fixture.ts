import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import { Application, type RunEvent } from '@largeforge/core';
import trainerDistill from './index.js';

export const base = fileURLToPath(new URL('../../../examples/quickstart/base', import.meta.url));
const modules = {
  '@largeforge/backend-cpu': async () => backendCpu,
  '@largeforge/trainer-distill': async () => trainerDistill,
};

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
export async function run(
  options: Record<string, unknown>,
  { onEvent, ...flags }: { onEvent?: (event: RunEvent, stop: AbortController) => void; resume?: boolean } = {},
) {
  const shared = { model: base, teacher: base, dataset: file('rows.jsonl'), batchSize: 4, seed: 3 };
  const step = { name: 'tune', stage: 'train', use: 'distill', with: { ...shared, ...options } };
  const config = { plugins: Object.keys(modules), backend: { name: 'cpu', threads: 2 }, pipeline: [step] };
  writeFileSync(file('largeforge.config.json'), JSON.stringify(config));
  const stop = new AbortController();
  const events: RunEvent[] = [];
  const { signal } = stop;
  const application = await Application.boot({ cwd: folder, modules, env: {}, logLevel: 'silent', signal });
  try {
    application.events.on((event) => {
      events.push(event);
      onEvent?.(event, stop);
    });
    const { outputs } = await application.runPipeline(flags);
    return { outputs: outputs.get('tune') ?? {}, events };
  } finally {
    await application.close();
  }
}

export const steps = (events: readonly RunEvent[]) =>
  events.flatMap((event) => (event.type === 'train.step' ? [event] : []));
export const divergences = (events: readonly RunEvent[]) =>
  steps(events).map(({ metrics }) => metrics?.divergence as number);
