import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Application, type Plugin, type RunEvent } from '@largeforge/core';

/** What runs a trainer in a test: the config is written into the folder. */
export interface TrainingBench {
  readonly folder: string;
  /** The trainer's plugin and what it computes on. */
  readonly plugins: readonly Plugin[];
  /** Name of the trainer. */
  readonly use: string;
}

export interface TrainingFlags {
  readonly resume?: boolean;
  readonly force?: boolean;
  /** Called with every event; may stop the run. */
  readonly onEvent?: (event: RunEvent, stop: AbortController) => void;
}

export interface TrainingOutcome {
  readonly outputs: Readonly<Record<string, unknown>>;
  readonly events: RunEvent[];
}

/** Runs one training step as a config says it, on two threads. */
export async function runTraining(
  { folder, plugins, use }: TrainingBench,
  options: Readonly<Record<string, unknown>>,
  { onEvent, ...flags }: TrainingFlags = {},
): Promise<TrainingOutcome> {
  const modules = Object.fromEntries(plugins.map((plugin) => [plugin.name, async () => plugin]));
  const step = { name: 'tune', stage: 'train', use, with: options };
  const config = { plugins: Object.keys(modules), backend: { name: 'cpu', threads: 2 }, pipeline: [step] };
  writeFileSync(join(folder, 'largeforge.config.json'), JSON.stringify(config));
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

/** The events of a run's optimiser steps, in order. */
export const stepsOf = (events: readonly RunEvent[]): Extract<RunEvent, { type: 'train.step' }>[] =>
  events.flatMap((event) => (event.type === 'train.step' ? [event] : []));

/** Their losses. */
export const lossesOf = (events: readonly RunEvent[]): number[] => stepsOf(events).map(({ loss }) => loss);
