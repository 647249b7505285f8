/** Runs steps of a pipeline for measurements: plugins, backend and folders as a program would have them. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { locateLibrary } from '@largeforge/backend-cpu';
import { Application } from '@largeforge/core';
import { openDevice } from '@largeforge/engine';

/** "AMD EPYC, avx512-bf16, 2 threads" */
export function machine(threads) {
  const probe = openDevice({ library: locateLibrary() });
  const { name, isa, computeUnits } = probe.properties;
  probe[Symbol.dispose]();
  return `${name}, ${isa}, ${threads ?? computeUnits} threads`;
}

/**
 * Calls `measure` with a function that runs one step and gives its outputs, and a folder that is removed afterwards.
 * @param plugins names of packages
 */
export async function withSteps(plugins, threads, measure) {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-bench-'));
  const loaded = [];
  for (const name of plugins) loaded.push((await import(name)).default);
  const application = await Application.boot({
    cwd: folder,
    env: process.env,
    logLevel: 'silent',
    builtIn: { plugins: loaded, backend: { name: 'cpu', ...(threads !== undefined && { threads: Number(threads) }) } },
  });
  const context = application.commandContext();
  let count = 0;
  try {
    await measure(async (stage, use, options) => {
      const name = `step-${++count}`;
      const { outputs } = await context.runSteps([{ name, stage, use, with: options }]);
      return outputs.get(name);
    }, folder);
  } finally {
    await application.close();
    rmSync(folder, { recursive: true });
  }
}

/** What an optimize step reports: perplexity and its ratio, divergence, time and size. */
export function figures({ report }) {
  const { comparison, seconds, sizes, facts } = JSON.parse(readFileSync(report, 'utf8'));
  return { ...comparison, seconds, bytes: sizes.bytesAfter, facts };
}
