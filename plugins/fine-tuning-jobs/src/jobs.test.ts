import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import { Application } from '@largeforge/core';
import generate from '@largeforge/generate';
import serverOpenai from '@largeforge/server-openai';
import OpenAI, { toFile } from 'openai';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import fineTuningJobs from './index.js';

// Trainings are processes of their own, which a busy machine may keep waiting.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

const base = fileURLToPath(new URL('../../../examples/quickstart/base', import.meta.url));
const adminKey = 'admin-key-of-the-test';
const modules = {
  '@largeforge/backend-cpu': async () => backendCpu,
  '@largeforge/generate': async () => generate,
  '@largeforge/server-openai': async () => serverOpenai,
  '@largeforge/fine-tuning-jobs': async () => fineTuningJobs,
};

interface Running {
  readonly url: string;
  readonly admin: OpenAI;
  /** Ends it as SIGTERM does. */
  stop(): Promise<void>;
}

/** A server of the quickstart's base model that takes jobs, as a config makes it. */
async function start(folder: string, options: Record<string, unknown> = {}): Promise<Running> {
  const defaults = { maxSteps: 6, saveSteps: 2, batchSize: 2, precision: 'f32', lora: { r: 4 } };
  const config = {
    backend: { name: 'cpu', threads: 1 },
    plugins: [
      '@largeforge/backend-cpu',
      '@largeforge/generate',
      ['@largeforge/server-openai', { adminKeys: [adminKey], apiKeys: ['key-of-a-mere-client'] }],
      ['@largeforge/fine-tuning-jobs', { models: { tiny: base }, defaults, maxFileBytes: 100_000, ...options }],
    ],
    pipeline: [{ name: 'serve', stage: 'serve', use: 'openai', with: { model: { path: base, id: 'tiny' }, port: 0 } }],
  };
  writeFileSync(join(folder, 'largeforge.config.json'), JSON.stringify(config));
  const stop = new AbortController();
  const application = await Application.boot({
    cwd: folder,
    modules,
    env: {},
    logLevel: 'silent',
    signal: stop.signal,
  });
  let ended: Promise<unknown> = Promise.resolve();
  const url = await new Promise<string>((resolve, reject) => {
    application.events.on('message', ({ fields }) => fields?.url !== undefined && resolve(String(fields.url)));
    ended = application.runPipeline();
    ended.catch(reject);
  });
  return {
    url,
    admin: new OpenAI({ baseURL: `${url}/v1`, apiKey: adminKey, maxRetries: 0 }),
    async stop() {
      stop.abort(new DOMException('stopped', 'AbortError'));
      await ended.catch(() => {});
      await application.close();
    },
  };
}

const rows = (count: number, answer = (i: number) => 'bcda'[i % 4]) =>
  Array.from({ length: count }, (_, i) => ({
    messages: [
      { role: 'user', content: `say ${'abcd'[i % 4]}` },
      { role: 'assistant', content: answer(i) },
    ],
  }));
const jsonLines = (values: readonly object[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('');
const upload = (client: OpenAI, values: readonly object[], purpose: OpenAI.FilePurpose = 'fine-tune') =>
  toFile(Buffer.from(jsonLines(values)), 'rows.jsonl').then((file) => client.files.create({ file, purpose }));

async function untilEnded(client: OpenAI, id: string) {
  for (;;) {
    const job = await client.fineTuning.jobs.retrieve(id);
    if (['succeeded', 'failed', 'cancelled'].includes(job.status)) return job;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function collected<Item>(pages: AsyncIterable<Item>): Promise<Item[]> {
  const items: Item[] = [];
  for await (const item of pages) items.push(item);
  return items;
}

describe('a server that takes jobs, to the official client', () => {
  let folder: string;
  let server: Running;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'largeforge-jobs-'));
    server = await start(folder);
  });
  afterAll(async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  it('keeps files: upload, list, retrieve, content, delete', async () => {
    const { files } = server.admin;
    const first = await upload(server.admin, rows(2));
    const second = await upload(server.admin, rows(3), 'batch');
    expect(first).toMatchObject({ object: 'file', filename: 'rows.jsonl', purpose: 'fine-tune', status: 'processed' });
    expect(first.bytes).toBe(jsonLines(rows(2)).length);
    expect(await files.retrieve(first.id)).toEqual(first);
    expect(await (await files.content(first.id)).text()).toBe(jsonLines(rows(2)));
    expect((await collected(await files.list())).map(({ id }) => id)).toEqual(
      expect.arrayContaining([first.id, second.id]),
    );
    expect((await collected(await files.list({ purpose: 'batch' }))).map(({ id }) => id)).toEqual([second.id]);
    expect((await collected(await files.list({ limit: 1 }))).length).toBe(2);
    expect(await files.delete(second.id)).toEqual({ id: second.id, object: 'file', deleted: true });
    // As the Python client deletes.
    const headers = { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' };
    expect((await fetch(`${server.url}/v1/files/${first.id}`, { method: 'DELETE', headers })).status).toBe(200);
    await expect(files.retrieve(second.id)).rejects.toMatchObject({ status: 404, code: 'file_not_found' });
  });

  it('trains, streams what happens, and serves the adapter', async () => {
    const { fineTuning, chat, models } = server.admin;
    const training = await upload(server.admin, rows(12));
    const validation = await upload(server.admin, rows(4));
    const created = await fineTuning.jobs.create({
      model: 'tiny',
      training_file: training.id,
      validation_file: validation.id,
      suffix: 'letters',
      seed: 7,
      metadata: { team: 'a' },
      method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: 2, learning_rate_multiplier: 2 } } },
    });
    expect(created).toMatchObject({ object: 'fine_tuning.job', model: 'tiny', seed: 7, fine_tuned_model: null });
    await expect(server.admin.files.delete(training.id)).rejects.toMatchObject({ status: 409, code: 'file_in_use' });

    // The stream ends with the job.
    const headers = { authorization: `Bearer ${adminKey}` };
    const stream = await fetch(`${server.url}/v1/fine_tuning/jobs/${created.id}/events?stream=true`, { headers });
    const text = await stream.text();
    const streamed = text
      .split('\n\n')
      .filter((line) => line.startsWith('data: {'))
      .map((line) => JSON.parse(line.slice(6)));
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
    const steps = streamed.filter(({ type, data }) => type === 'metrics' && 'train_loss' in data);
    expect(steps.map(({ data }) => data.step)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(steps.at(-1)?.data.train_loss).toBeLessThan(steps[0]?.data.train_loss);
    expect(streamed.at(-1)?.message).toBe('The job has successfully completed');

    const job = await fineTuning.jobs.retrieve(created.id);
    expect(job).toMatchObject({ status: 'succeeded', error: null, metadata: { team: 'a' } });
    expect(job.fine_tuned_model).toMatch(/^ft:tiny:letters:[0-9a-f]{8}$/);
    expect(job.finished_at).toBeGreaterThanOrEqual(job.created_at);
    expect(job.trained_tokens).toBeGreaterThan(0);
    expect((await collected(await fineTuning.jobs.listEvents(created.id))).map(({ id }) => id)).toEqual(
      streamed.map(({ id }) => id).reverse(),
    );
    const checkpoints = await collected(await fineTuning.jobs.checkpoints.list(created.id));
    expect(checkpoints.map(({ step_number }) => step_number)).toEqual([6, 4, 2]);
    expect(checkpoints[0]?.metrics.full_valid_loss).toBeGreaterThan(0);
    expect(existsSync(checkpoints[0]?.fine_tuned_model_checkpoint as string)).toBe(true);
    const table = await (await server.admin.files.content(job.result_files[0] as string)).text();
    expect(table.split('\n')[0]).toMatch(/^step,.*train_loss/);
    expect(table.trim().split('\n').length).toBe(1 + 6);

    expect((await collected(await models.list())).map(({ id }) => id)).toContain(job.fine_tuned_model);
    const answer = await chat.completions.create({
      model: job.fine_tuned_model as string,
      messages: [{ role: 'user', content: 'say a' }],
      max_tokens: 4,
    });
    expect(answer.choices[0]?.message.role).toBe('assistant');
  });

  it('trains on pairs by DPO', async () => {
    const pairs = Array.from({ length: 8 }, (_, i) => ({
      input: { messages: [{ role: 'user', content: `say ${'abcd'[i % 4]}` }] },
      preferred_output: [{ role: 'assistant', content: 'bcda'[i % 4] }],
      non_preferred_output: [{ role: 'assistant', content: 'zzz' }],
    }));
    const { id: training_file } = await upload(server.admin, pairs);
    const method = { type: 'dpo' as const, dpo: { hyperparameters: { beta: 0.3 } } };
    const { id } = await server.admin.fineTuning.jobs.create({ model: 'tiny', training_file, method });
    const job = await untilEnded(server.admin, id);
    expect(job, JSON.stringify(job.error)).toMatchObject({ status: 'succeeded', hyperparameters: { beta: 0.3 } });
    const [event] = await collected(await server.admin.fineTuning.jobs.listEvents(id, { limit: 100 }));
    expect(event?.message).toBe('The job has successfully completed');
  });

  it('fails a job by the row that is wrong', async () => {
    const { id: training_file } = await upload(server.admin, [{ messages: [{ role: 'nobody', content: 'x' }] }]);
    const { id } = await server.admin.fineTuning.jobs.create({ model: 'tiny', training_file });
    const job = await untilEnded(server.admin, id);
    expect(job.status).toBe('failed');
    expect(job.error?.code).toMatch(/^LF_DATA/);
    expect(job.fine_tuned_model).toBeNull();
  });

  it.each([
    ['a model that it does not train', { model: 'gpt' }, 404, 'model_not_found'],
    ['a file that is not there', { training_file: 'file-none' }, 404, 'file_not_found'],
    ['reinforcement', { method: { type: 'reinforcement' } }, 400, 'unsupported_parameter'],
    [
      'a tracker of its own',
      { integrations: [{ type: 'wandb', wandb: { project: 'p' } }] },
      400,
      'unsupported_parameter',
    ],
    ['a suffix with slashes', { suffix: 'a/b' }, 400, null],
    ['no file', { training_file: undefined }, 400, null],
  ])('refuses %s', async (_, wrong, status, code) => {
    const { id: training_file } = await upload(server.admin, rows(2));
    const request = { model: 'tiny', training_file, ...wrong } as OpenAI.FineTuning.JobCreateParams;
    await expect(server.admin.fineTuning.jobs.create(request)).rejects.toMatchObject({ status, code });
  });

  it('refuses uploads that are too large or say nothing of their purpose, and leaves nothing of them', async () => {
    const before = (await collected(await server.admin.files.list())).length;
    await expect(upload(server.admin, rows(2000))).rejects.toMatchObject({ status: 413, code: 'file_too_large' });
    const body = new FormData();
    body.append('file', new Blob(['{}\n']), 'rows.jsonl');
    const headers = { authorization: `Bearer ${adminKey}` };
    const answer = await fetch(`${server.url}/v1/files`, { method: 'POST', body, headers });
    expect([answer.status, ((await answer.json()) as { error: { param: string } }).error.param]).toEqual([
      400,
      'purpose',
    ]);
    expect((await collected(await server.admin.files.list())).length).toBe(before);
  });

  it.each(['/v1/files', '/v1/fine_tuning/jobs'])('needs the admin key for %s', async (path) => {
    const status = async (headers: Record<string, string>) => (await fetch(`${server.url}${path}`, { headers })).status;
    expect(await status({})).toBe(401);
    expect(await status({ authorization: 'Bearer key-of-a-mere-client' })).toBe(403);
    expect(await status({ authorization: `Bearer ${adminKey}` })).toBe(200);
  });
});

describe('jobs that do not end by themselves', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'largeforge-jobs-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const steps = (maxSteps: number) => ({
    defaults: { maxSteps, saveSteps: 5, batchSize: 2, precision: 'f32', lora: { r: 4 } },
  });

  /** Waits till a job has trained some steps. */
  async function untilStep(client: OpenAI, id: string, step: number) {
    for (;;) {
      const { data } = await client.fineTuning.jobs.listEvents(id, { limit: 1000 });
      if (data.some((event) => Number((event.data as { step?: number } | undefined)?.step) >= step)) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  it('fail by what is wrong with the options in the config, in words', async () => {
    const server = await start(folder, { defaults: { maxSteps: 'many' } });
    try {
      const { id: training_file } = await upload(server.admin, rows(4));
      const { id } = await server.admin.fineTuning.jobs.create({ model: 'tiny', training_file });
      const { error } = await untilEnded(server.admin, id);
      expect(error).toMatchObject({
        code: 'LF_CONFIG_INVALID',
        message: expect.stringMatching(/maxSteps: expected .*"many"/),
      });
    } finally {
      await server.stop();
    }
  });

  it('are cancelled while they train and while they wait', async () => {
    const server = await start(folder, steps(2000));
    try {
      const { fineTuning } = server.admin;
      const { id: training_file } = await upload(server.admin, rows(12));
      const first = await fineTuning.jobs.create({ model: 'tiny', training_file });
      const second = await fineTuning.jobs.create({ model: 'tiny', training_file });
      await untilStep(server.admin, first.id, 3);
      expect((await fineTuning.jobs.retrieve(second.id)).status).toBe('queued');
      expect((await fineTuning.jobs.cancel(second.id)).status).toBe('cancelled');
      expect((await fineTuning.jobs.cancel(first.id)).status).toBe('cancelled');
      await expect(fineTuning.jobs.cancel(first.id)).rejects.toMatchObject({ status: 400, code: 'job_ended' });
      expect((await collected(await fineTuning.jobs.list())).map(({ status }) => status)).toEqual([
        'cancelled',
        'cancelled',
      ]);
    } finally {
      await server.stop();
    }
  });

  it('go on from their last checkpoint when the server is started again, and are served then', async () => {
    const server = await start(folder, steps(80));
    const { id: training_file } = await upload(server.admin, rows(12));
    const { id } = await server.admin.fineTuning.jobs.create({ model: 'tiny', training_file });
    await untilStep(server.admin, id, 8);
    await server.stop();
    const state = JSON.parse(readFileSync(join(folder, '.largeforge/fine-tuning/jobs', id, 'job.json'), 'utf8'));
    expect(state.job.status).toBe('queued');

    const again = await start(folder, steps(80));
    try {
      const job = await untilEnded(again.admin, id);
      expect(job, JSON.stringify(job.error)).toMatchObject({ status: 'succeeded' });
      const { data } = await again.admin.fineTuning.jobs.listEvents(id, { limit: 1000 });
      const trained = data.map((event) => (event.data as { step?: number }).step).filter((step) => step !== undefined);
      // Every step once: nothing was trained anew.
      expect(trained.reverse()).toEqual(Array.from({ length: 80 }, (_, i) => i + 1));
    } finally {
      await again.stop();
    }
    const third = await start(folder, steps(80));
    try {
      await expect
        .poll(async () => (await collected(await third.admin.models.list())).map((model) => model.id), {
          timeout: 20_000,
        })
        .toContainEqual(expect.stringMatching(/^ft:tiny:largeforge:/));
    } finally {
      await third.stop();
    }
  });
});
