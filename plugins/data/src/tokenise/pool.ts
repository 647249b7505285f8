import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import type { WorkerSetting } from './setting.js';
import type { TokeniseResult, TokeniseTask } from './task.js';

/** Runs tokenising tasks; results come in the order of the tasks. */
export interface TokenisePool {
  /** Results of the tasks, in order. Takes tasks as it needs them, so that memory stays bounded. */
  map(tasks: AsyncIterable<TokeniseTask>): AsyncGenerator<TokeniseResult>;
  close(): Promise<void>;
}

/**
 * A pool of worker threads that tokenise.
 * @param threads 0 chooses by the machine: one is left to the thread that reads the files
 */
export function workerPool(setting: WorkerSetting, threads: number, signal: AbortSignal): TokenisePool {
  const count = threads > 0 ? threads : Math.max(1, Math.min(8, availableParallelism() - 1));
  const pool = new Piscina({
    filename: fileURLToPath(compiled(new URL('./worker.js', import.meta.url).href)),
    workerData: { ...setting, formatModule: setting.formatModule && compiled(setting.formatModule) },
    minThreads: 1,
    maxThreads: count,
    // Each thread keeps a tokenizer: starting one anew for a pause in reading costs more than it saves.
    idleTimeout: 10_000,
  });
  return {
    map: (tasks) => inOrder(tasks, (task) => pool.run(task, { signal }) as Promise<TokeniseResult>, 2 * count),
    close: () => pool.destroy(),
  };
}

/** What a thread can load: when this package runs from its source (in tests), the module in its `dist`. */
function compiled(module: string): string {
  return module.replace('/data/src/', '/data/dist/').replace(/\.ts$/, '.js');
}

/** Keeps up to `ahead` runs going, and yields their results in order. */
export async function* inOrder<Task, Result>(
  tasks: AsyncIterable<Task>,
  run: (task: Task) => Promise<Result>,
  ahead: number,
): AsyncGenerator<Result> {
  const running: Promise<Result>[] = [];
  try {
    for await (const task of tasks) {
      running.push(run(task));
      if (running.length >= ahead) yield await (running.shift() as Promise<Result>);
    }
    while (running.length > 0) yield await (running.shift() as Promise<Result>);
  } finally {
    // After an error or an early end, what still runs must not become an unhandled rejection.
    await Promise.allSettled(running);
  }
}
