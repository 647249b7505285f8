import { execFile, spawn } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { largeforge } from '../command.js';
import { readJsonLines, temporaryFolder } from '../environment.js';
import { wandbServer } from './wandb-server.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const folder = temporaryFolder();
const run = promisify(execFile);

/** The interpreter with the official clients; `npm run test:interop` names it. */
const python = process.env.LARGEFORGE_TRACKERS_PYTHON ?? '';

let mlflow: { url: string; stop: () => Promise<void> };
/** Figures as `largeforge runs` has them, which every other tracker must have too. */
let expected: Record<string, unknown>[];

beforeAll(async () => {
  if (python === '')
    throw new Error('LARGEFORGE_TRACKERS_PYTHON is not set: run these tests with "npm run test:interop"');
  mlflow = await mlflowServer();
  const rows = Array.from({ length: 12 }, (_, i) => ({ prompt: `say ${i}`, completion: 'abcd'[i % 4] }));
  writeFileSync(join(folder, 'rows.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const config = {
    plugins: [
      '@largeforge/backend-cpu',
      '@largeforge/trainer-sft',
      ['@largeforge/tracking', { use: ['jsonl', 'wandb', 'tensorboard', 'mlflow'] }],
      ['@largeforge/tracker-wandb', { project: 'commands', entity: 'team', group: 'nightly', tags: ['tiny'] }],
      '@largeforge/tracker-tensorboard',
      ['@largeforge/tracker-mlflow', { trackingUri: mlflow.url, experiment: 'commands' }],
    ],
    pipeline: [
      {
        name: 'tune',
        stage: 'train',
        use: 'sft',
        with: {
          model: join(root, 'examples/quickstart/base'),
          dataset: './rows.jsonl',
          evalSplit: 4,
          evalSteps: 5,
          maxSteps: 10,
          batchSize: 2,
        },
      },
    ],
  };
  writeFileSync(join(folder, 'largeforge.config.json'), JSON.stringify(config));
  await largeforge(folder, 'run');
  const [id] = readdirSync(join(folder, '.largeforge/runs')) as [string];
  expected = readJsonLines(join(folder, '.largeforge/runs', id, 'metrics.jsonl'));
});
afterAll(() => mlflow?.stop());

/** `[step, value]` of a figure. */
const points = (name: string) => expected.filter((row) => name in row).map((row) => [row.step, row[name] as number]);
const names = ['train/loss', 'train/learning_rate', 'train/grad_norm', 'eval/loss', 'eval/accuracy'];

describe('a training that is recorded by every tracker', () => {
  it('has its figures', () => {
    expect(points('train/loss').map(([step]) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(points('eval/loss').map(([step]) => step)).toEqual([5, 10]);
  });

  it("is read by TensorBoard's own reader", async () => {
    const script = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1]); events.Reload()
scalars = {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in events.Tags()['scalars']}
texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in events.Tags()['tensors']}
print(json.dumps({'scalars': scalars, 'texts': texts, 'version': events.file_version if hasattr(events, 'file_version') else None}))`;
    const [id] = readdirSync(join(folder, '.largeforge/tensorboard')) as [string];
    const { stdout } = await run(python, ['-c', script, join(folder, '.largeforge/tensorboard', id)]);
    const { scalars, texts } = JSON.parse(stdout);
    for (const name of names) {
      const float32 = points(name).map(([step, value]) => [step, Math.fround(value as number)]);
      expect(scalars[name], name).toEqual(float32);
    }
    expect(Object.keys(texts)).toEqual(['config']);
    expect(texts.config).toContain('"maxSteps": 10');
  });

  it("is posted by Weights & Biases' own client", async () => {
    const server = await wandbServer();
    try {
      const [offline] = readdirSync(join(folder, 'wandb')) as [string];
      expect(offline).toMatch(/^offline-run-\d{8}_\d{6}-[0-9a-f]{8}$/);
      const env = { ...process.env, WANDB_BASE_URL: server.url, WANDB_API_KEY: 'a'.repeat(40), HOME: folder };
      const sync = await run(join(dirname(python), 'wandb'), ['sync', join('wandb', offline)], { cwd: folder, env });
      const { posted } = server;
      expect(posted.runs[0], sync.stdout + sync.stderr).toMatchObject({
        project: 'commands',
        entity: 'team',
        groupName: 'nightly',
      });
      expect(posted.runs[0]?.name).toBe(offline.slice(-8));
      const config = JSON.parse(posted.runs[0]?.config as string);
      expect(config.maxSteps.value).toBe(10);
      expect(config.lora.value.r).toBe(16);
      const history = [...posted.history].sort(([a], [b]) => a - b).map(([, row]) => row);
      expect(history.map((row) => row._step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      for (const name of names) {
        const rows = history.filter((row) => name in row).map((row) => [row._step, row[name]]);
        expect(rows, name).toEqual(points(name));
      }
      expect(posted.summary['eval/loss']).toBe(points('eval/loss').at(-1)?.[1]);
      expect(posted.exitCode).toBe(0);
    } finally {
      await server.close();
    }
  });

  it('is a run of an MLflow server, read by its own client', async () => {
    const script = `
import json, sys
from mlflow.tracking import MlflowClient
client = MlflowClient(sys.argv[1])
experiment = client.get_experiment_by_name('commands')
[run] = client.search_runs([experiment.experiment_id])
names = list(run.data.metrics)
history = {name: sorted([m.step, m.value] for m in client.get_metric_history(run.info.run_id, name)) for name in names}
print(json.dumps({'status': run.info.status, 'name': run.info.run_name, 'params': run.data.params, 'tags': run.data.tags, 'history': history, 'took': run.info.end_time - run.info.start_time}))`;
    const { stdout } = await run(python, ['-c', script, mlflow.url]);
    const read = JSON.parse(stdout);
    expect(read.status).toBe('FINISHED');
    expect(read.took).toBeGreaterThan(0);
    expect(read.params).toMatchObject({ maxSteps: '10', 'lora.r': '16', 'lora.targetModules': 'all-linear' });
    expect(read.tags['largeforge.trainer']).toBe('sft');
    for (const name of names) expect(read.history[name], name).toEqual(points(name));
  });
});

/** A real MLflow server over SQLite. */
async function mlflowServer() {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const args = ['-m', 'mlflow', 'server', '--backend-store-uri', `sqlite:///${folder}/mlflow.db`];
  const server = spawn(python, [...args, '--host', '127.0.0.1', '--port', String(port), '--workers', '1'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    // Its workers end with it.
    detached: true,
  });
  let output = '';
  for (const stream of [server.stdout, server.stderr]) stream.on('data', (chunk) => (output += chunk));
  for (let waited = 0; ; waited++) {
    if (server.exitCode !== null || waited > 600)
      throw new Error(`mlflow server does not start:\n${output.slice(-3000)}`);
    const response = await fetch(`${url}/health`).catch(() => undefined);
    if (response?.ok) break;
    await sleep(200);
  }
  const stop = async () => {
    const ended = new Promise((resolve) => server.on('exit', resolve));
    process.kill(-(server.pid as number), 'SIGTERM');
    await ended;
  };
  return { url, stop };
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}
