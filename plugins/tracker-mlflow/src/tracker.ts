import type { RunEnd, Tracker } from '@largeforge/tracking';
import type { MlflowClient, MlflowMetric } from './client.js';

/** What MLflow takes in one request. */
const [batchMetrics, batchParams, paramLength] = [1000, 100, 6000];

/** Figures wait for each other so long at most before they are sent. */
const flushMs = 2000;

const statuses = { finished: 'FINISHED', failed: 'FAILED', interrupted: 'KILLED' } as const satisfies Record<
  RunEnd['status'],
  string
>;

/** The tracker `mlflow`: a run of an experiment on an MLflow server, options as parameters, figures as metrics. */
export function mlflowTracker(client: MlflowClient, experiment: string): Tracker {
  return {
    async open({ id, name, use, config, startedAt }) {
      const tags = [
        { key: 'mlflow.source.name', value: 'largeforge' },
        { key: 'largeforge.step', value: name },
        { key: 'largeforge.trainer', value: use },
      ];
      const run = await client.createRun(await client.experiment(experiment), id, startedAt, tags);
      const params = leaves(config).map(([key, value]) => ({ key, value: value.slice(0, paramLength) }));
      for (let from = 0; from < params.length; from += batchParams) {
        await client.logBatch(run, [], params.slice(from, from + batchParams));
      }
      let waiting: MlflowMetric[] = [];
      let sent = Date.now();
      const flush = async () => {
        for (; waiting.length > 0; waiting = waiting.slice(batchMetrics)) {
          await client.logBatch(run, waiting.slice(0, batchMetrics));
        }
        sent = Date.now();
      };
      return {
        async log(step, figures, time) {
          for (const [key, value] of Object.entries(figures)) {
            const told = Number.isFinite(value) ? value : String(value);
            waiting.push({ key, value: told, timestamp: time.getTime(), step });
          }
          if (waiting.length >= batchMetrics || Date.now() - sent >= flushMs) await flush();
        },
        async finish({ status, endedAt }) {
          await flush();
          await client.endRun(run, statuses[status], endedAt);
        },
      };
    },
  };
}

/** `lora.r` -> `16`: MLflow's parameters are flat. */
function leaves(value: unknown, path = ''): [string, string][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return value === undefined ? [] : [[path, typeof value === 'string' ? value : JSON.stringify(value)]];
  }
  return Object.entries(value).flatMap(([key, child]) => leaves(child, path === '' ? key : `${path}.${key}`));
}
