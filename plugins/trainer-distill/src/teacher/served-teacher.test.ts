import { mkdirSync, writeFileSync } from 'node:fs';
import backendCpu from '@largeforge/backend-cpu';
import { Application } from '@largeforge/core';
import generate from '@largeforge/generate';
import serverOpenai from '@largeforge/server-openai';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { base, beginFolder, divergences, endFolder, file, run } from '../distill.fixture.js';

beforeEach(beginFolder);
afterEach(endFolder);

/** The base model behind the OpenAI-compatible server, in this process. */
async function serveBase() {
  const served = {
    '@largeforge/backend-cpu': async () => backendCpu,
    '@largeforge/generate': async () => generate,
    '@largeforge/server-openai': async () => serverOpenai,
  };
  const model = { path: base, id: 'base', weights: 'f32' };
  const step = { name: 'serve', stage: 'serve', use: 'openai', with: { model, port: 0 } };
  mkdirSync(file('server'));
  const config = { plugins: Object.keys(served), backend: { name: 'cpu', threads: 1 }, pipeline: [step] };
  writeFileSync(file('server', 'largeforge.config.json'), JSON.stringify(config));
  const stop = new AbortController();
  const { signal } = stop;
  const application = await Application.boot({
    cwd: file('server'),
    modules: served,
    env: {},
    logLevel: 'silent',
    signal,
  });
  let ended: Promise<unknown> = Promise.resolve();
  const url = await new Promise<string>((resolve, reject) => {
    application.events.on('message', ({ fields }) => fields?.url !== undefined && resolve(String(fields.url)));
    ended = application.runPipeline();
    ended.catch(reject);
  });
  return {
    url,
    async stop() {
      stop.abort(new DOMException('stopped', 'AbortError'));
      await ended.catch(() => {});
      await application.close();
    },
  };
}

it('a distillation by a teacher behind a server is that by the same model in this process', async () => {
  const served = await serveBase();
  try {
    const wanted = { full: true, keepLayers: 1, maxSteps: 3, precision: 'f32', alpha: 1, temperature: 1, topK: 16 };
    const near = await run({ ...wanted, outputDir: file('near') });
    const server = { teacher: `${served.url}/v1`, teacherModel: 'base' };
    const requests = vi.spyOn(globalThis, 'fetch');
    const far = await run({ ...wanted, ...server, outputDir: file('far') });
    // It tells of all tokens of a row at once.
    expect(requests).toHaveBeenCalledTimes(16);
    requests.mockRestore();
    for (const [i, divergence] of divergences(far.events).entries()) {
      // The server computes in bf16.
      expect(Math.abs(divergence - (divergences(near.events)[i] as number))).toBeLessThan(0.05);
    }
    const unknown = run({ ...wanted, ...server, teacherModel: 'other', outputDir: file('none') });
    await expect(unknown).rejects.toMatchObject({
      code: 'LF_DISTILL_SERVER',
      message: expect.stringMatching(/404.*other/),
    });
  } finally {
    await served.stop();
  }
});
