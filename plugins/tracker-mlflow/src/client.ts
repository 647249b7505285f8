import { setTimeout as sleep } from 'node:timers/promises';
import { reasonOf } from '@largeforge/core';
import { mlflowErrors } from './errors.js';

export interface MlflowMetric {
  readonly key: string;
  /** `NaN` and `Infinity` by their names, which JSON has no numbers for. */
  readonly value: number | string;
  /** Milliseconds. */
  readonly timestamp: number;
  readonly step: number;
}

interface Pair {
  readonly key: string;
  readonly value: string;
}

/** How a request shows who sends it. */
export type MlflowAccess =
  | { readonly token: string }
  | { readonly username: string; readonly password: string }
  | undefined;

const attempts = 4;

/** MLflow's REST API, version 2.0, as far as a run needs it. */
export class MlflowClient {
  /** @param timeoutMs of a request */
  constructor(
    private readonly server: string,
    private readonly access: MlflowAccess,
    private readonly timeoutMs = 15_000,
  ) {}

  /** The id of an experiment, which is made when there is none of this name. */
  async experiment(name: string): Promise<string> {
    const query = `experiments/get-by-name?experiment_name=${encodeURIComponent(name)}`;
    type Found = { experiment: { experiment_id: string } };
    const found = await this.call<Found>('GET', query, undefined, 'RESOURCE_DOES_NOT_EXIST');
    if (found) return found.experiment.experiment_id;
    return (await this.call<{ experiment_id: string }>('POST', 'experiments/create', { name }))!.experiment_id;
  }

  async createRun(experiment: string, name: string, start: Date, tags: readonly Pair[]): Promise<string> {
    const body = { experiment_id: experiment, run_name: name, start_time: start.getTime(), tags };
    const { run } = (await this.call<{ run: { info: { run_id: string } } }>('POST', 'runs/create', body))!;
    return run.info.run_id;
  }

  /** At most 1000 metrics and 100 parameters. */
  async logBatch(run: string, metrics: readonly MlflowMetric[], params: readonly Pair[] = []): Promise<void> {
    await this.call('POST', 'runs/log-batch', { run_id: run, metrics, params });
  }

  async endRun(run: string, status: 'FINISHED' | 'FAILED' | 'KILLED', end: Date): Promise<void> {
    await this.call('POST', 'runs/update', { run_id: run, status, end_time: end.getTime() });
  }

  /** Tries again when the server cannot be reached or is busy; undefined for the error that `missing` names. */
  private async call<Answer>(
    method: string,
    path: string,
    body?: object,
    missing?: string,
  ): Promise<Answer | undefined> {
    const url = `${this.server.replace(/\/+$/, '')}/api/2.0/mlflow/${path}`;
    for (let attempt = 1; ; attempt++) {
      const again = attempt < attempts;
      let response: Response;
      try {
        response = await fetch(url, {
          method,
          headers: { 'content-type': 'application/json', ...this.authorization() },
          ...(body && { body: JSON.stringify(body) }),
          signal: AbortSignal.timeout(this.timeoutMs),
        });
      } catch (error) {
        if (!again) throw mlflowErrors.LF_MLFLOW_REQUEST({ url, reason: reasonOf(error) }, { cause: error });
        await sleep(250 * 2 ** attempt);
        continue;
      }
      if (response.ok) return (await response.json()) as Answer;
      const text = await response.text();
      if (missing !== undefined && text.includes(missing)) return undefined;
      if (again && (response.status === 429 || response.status >= 500)) {
        await sleep(250 * 2 ** attempt);
        continue;
      }
      throw mlflowErrors.LF_MLFLOW_REQUEST({ url, reason: `${response.status} ${text.slice(0, 300)}` });
    }
  }

  private authorization(): Record<string, string> {
    if (this.access === undefined) return {};
    if ('token' in this.access) return { authorization: `Bearer ${this.access.token}` };
    const { username, password } = this.access;
    return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` };
  }
}
