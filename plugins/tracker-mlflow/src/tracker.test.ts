import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MlflowClient } from './client.js';
import { mlflowTracker } from './tracker.js';

interface Seen {
  readonly path: string;
  readonly body: Record<string, unknown>;
  readonly headers: IncomingMessage['headers'];
}

let server: Server;
let url: string;
let seen: Seen[];
/** What the server answers before it works again. */
let failures: number[];

beforeEach(async () => {
  [seen, failures] = [[], []];
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      const failure = failures.shift();
      if (failure !== undefined) return response.writeHead(failure).end('{"error_code": "BUSY"}');
      const path = request.url?.replace('/api/2.0/mlflow/', '') ?? '';
      seen.push({ path, body: body === '' ? {} : JSON.parse(body), headers: request.headers });
      if (path.startsWith('experiments/get-by-name'))
        return response.writeHead(404).end('{"error_code": "RESOURCE_DOES_NOT_EXIST"}');
      const answers: Record<string, unknown> = {
        'experiments/create': { experiment_id: '7' },
        'runs/create': { run: { info: { run_id: 'r1' } } },
      };
      response.end(JSON.stringify(answers[path] ?? {}));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});
afterEach(() => new Promise((resolve) => server.close(resolve)));

const startedAt = new Date(1_700_000_000_000);
const run = { id: 'run-1', name: 'tune', use: 'sft', startedAt, resumed: false };

describe('a run of an MLflow server', () => {
  it('makes its experiment, tells options and figures, and ends', async () => {
    const tracker = mlflowTracker(new MlflowClient(url, { token: 'secret' }), 'my experiment');
    const config = { lr: 1e-3, lora: { r: 8, targets: ['q', 'v'] }, text: 'x'.repeat(7000), none: undefined };
    const recorder = await tracker.open({ ...run, config });
    for (let step = 1; step <= 600; step++)
      await recorder.log(step, { 'train/loss': step === 1 ? Number.NaN : 1 / step, 'train/epoch': step }, startedAt);
    await recorder.finish({ status: 'interrupted', endedAt: new Date(startedAt.getTime() + 5000), outputs: {} });
    expect(seen.map(({ path }) => path)).toEqual([
      'experiments/get-by-name?experiment_name=my%20experiment',
      'experiments/create',
      'runs/create',
      'runs/log-batch',
      'runs/log-batch',
      'runs/log-batch',
      'runs/update',
    ]);
    expect(seen.every(({ headers }) => headers.authorization === 'Bearer secret')).toBe(true);
    expect(seen[2]?.body).toMatchObject({ experiment_id: '7', run_name: 'run-1', start_time: 1_700_000_000_000 });
    expect(seen[3]?.body.params).toEqual([
      { key: 'lr', value: '0.001' },
      { key: 'lora.r', value: '8' },
      { key: 'lora.targets', value: '["q","v"]' },
      { key: 'text', value: 'x'.repeat(6000) },
    ]);
    const metrics = seen.slice(4, 6).map(({ body }) => body.metrics as { key: string; step: number }[]);
    expect(metrics.map((batch) => batch.length)).toEqual([1000, 200]);
    expect(metrics[0]?.[0]).toEqual({ key: 'train/loss', value: 'NaN', timestamp: 1_700_000_000_000, step: 1 });
    expect(metrics[1]?.at(-1)).toEqual({ key: 'train/epoch', value: 600, timestamp: 1_700_000_000_000, step: 600 });
    expect(seen[6]?.body).toEqual({ run_id: 'r1', status: 'KILLED', end_time: 1_700_000_005_000 });
  });

  it('tries again while the server is busy', async () => {
    failures = [503, 429];
    await mlflowTracker(new MlflowClient(url, undefined), 'e').open({ ...run, config: {} });
    expect(seen.map(({ path }) => path).slice(-1)).toEqual(['runs/create']);
  });

  it('says what a server answers that refuses it, and where', async () => {
    failures = [403];
    const opened = mlflowTracker(new MlflowClient(url, undefined), 'e').open({ ...run, config: {} });
    await expect(opened).rejects.toMatchObject({
      code: 'LF_MLFLOW_REQUEST',
      message: expect.stringMatching(/get-by-name.*403/),
    });
  });
});
