import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import OpenAI, { toFile } from 'openai';
import { expect, it } from 'vitest';
import { python, temporaryFolder } from './environment.js';
import { started } from './served.js';

const base = fileURLToPath(new URL('../../examples/quickstart/base', import.meta.url));
const adminKey = 'admin-key-of-the-test';
const rows = Array.from({ length: 12 }, (_, i) => ({
  messages: [
    { role: 'user', content: `say ${'abcd'[i % 4]}` },
    { role: 'assistant', content: 'bcda'[i % 4] },
  ],
}));

function configured(maxSteps: number): string {
  const folder = temporaryFolder();
  const defaults = { maxSteps, saveSteps: 2, batchSize: 2, lora: { r: 4 } };
  const config = {
    plugins: [
      '@largeforge/backend-cpu',
      '@largeforge/generate',
      ['@largeforge/server-openai', { adminKeys: [adminKey] }],
      ['@largeforge/fine-tuning-jobs', { models: { tiny: base }, defaults }],
    ],
    pipeline: [{ name: 'serve', stage: 'serve', use: 'openai', with: { model: { path: base, id: 'tiny' }, port: 0 } }],
  };
  writeFileSync(join(folder, 'largeforge.config.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'rows.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return folder;
}

it('the official Python client uploads, trains, follows, and asks the adapter', async () => {
  const folder = configured(4);
  const server = await started(['run'], folder);
  try {
    const seen = JSON.parse(python('fine_tuning_jobs.py', `${server.url}/v1`, adminKey, join(folder, 'rows.jsonl')));
    expect(seen.content).toBe(readFileSync(join(folder, 'rows.jsonl'), 'utf8'));
    expect(seen.files).toContain(seen.uploaded);
    expect(seen.job).toMatchObject({ status: 'succeeded', hyperparameters: { n_epochs: 1, batch_size: 'auto' } });
    expect(seen.job.fine_tuned_model).toMatch(/^ft:tiny:python:/);
    expect(seen.jobs).toEqual([seen.job.id]);
    expect(seen.events[0]).toBe('The job has successfully completed');
    expect(seen.events.at(-1)).toMatch(/^Created fine-tuning job/);
    expect(seen.checkpoints).toEqual([4, 2]);
    expect(seen.metrics.trim().split('\n').length).toBe(5);
    expect(seen.answer).toBe(seen.job.fine_tuned_model);
    expect(seen.deleted).toBe(true);
  } finally {
    await server.stop();
  }
});

it('a job survives a server that is killed: it ends after the next start, no step lost', async () => {
  const folder = configured(60);
  const first = await started(['run'], folder);
  const client = (url: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey: adminKey, maxRetries: 0 });
  const { id: training_file } = await client(first.url).files.create({
    file: await toFile(readFileSync(join(folder, 'rows.jsonl')), 'rows.jsonl'),
    purpose: 'fine-tune',
  });
  const { id } = await client(first.url).fineTuning.jobs.create({ model: 'tiny', training_file });
  const stepsOf = async (url: string) => {
    const { data } = await client(url).fineTuning.jobs.listEvents(id, { limit: 1000 });
    return data.map((event) => (event.data as { step?: number }).step ?? 0).filter((step) => step > 0);
  };
  while (Math.max(0, ...(await stepsOf(first.url))) < 6) await sleep(50);
  await first.kill();

  const second = await started(['run'], folder);
  try {
    for (;;) {
      const job = await client(second.url).fineTuning.jobs.retrieve(id);
      if (job.status === 'succeeded') break;
      expect(job.status, JSON.stringify(job.error)).toMatch(/queued|running/);
      await sleep(100);
    }
    expect(new Set(await stepsOf(second.url)).size).toBe(60);
  } finally {
    await second.stop();
  }
});
