import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import { Application, definePlugin, type PluginModules } from '@largeforge/core';
import generate from '@largeforge/generate';
import serverOpenai from '@largeforge/server-openai';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';

const root = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** The CUDA backend with the fake driver and the fake NCCL, for two emulated devices. */
const emulatedCuda = definePlugin({
  name: 'emulated-cuda',
  version: '1.0.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup(context) {
    const driver = root('engine/build/libfake_gpu_driver.so');
    Object.assign(process.env, {
      LF_CUDA_DRIVER: driver,
      LF_CUDA_NCCL: driver,
      LF_EMULATED_TARGET: '80',
      LF_EMULATED_DEVICES: '2',
    });
    context.registries.backend.add('cuda', {
      describe: 'the emulator',
      priority: 10,
      probe: async () => ({ ok: true }),
      load: () => ({ id: 'cuda', library: root('plugins/backend-cuda/build/liblargeforge_cuda_emulated.so') }),
    });
  },
});

/** Serves the quickstart's model as a configuration file says; returns the server's URL. */
async function serve(backend: 'cpu' | 'cuda', tensorParallel: number): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-parallel-'));
  writeFileSync(
    join(folder, 'largeforge.config.yaml'),
    `
plugins: [backend-${backend}, [generate, {tensorParallel: ${tensorParallel}, cacheMiB: 8}], server]
backend: ${backend}
pipeline:
  - {name: serve, stage: serve, use: openai, with: {model: {path: ${root('examples/quickstart/base')}, id: m, weights: f32}, port: 0}}
`,
  );
  const modules: PluginModules = {
    'backend-cpu': async () => backendCpu,
    'backend-cuda': async () => emulatedCuda,
    generate: async () => generate,
    server: async () => serverOpenai,
  };
  const stop = new AbortController();
  const application = await Application.boot({
    cwd: folder,
    env: {},
    modules,
    logLevel: 'silent',
    signal: stop.signal,
  });
  const announced = new Promise<string>((resolve) => {
    application.events.on('message', ({ fields }) => {
      if (fields?.url) resolve(String(fields.url));
    });
  });
  const serving = application.runPipeline();
  serving.catch(() => {});
  onTestFinished(async () => {
    stop.abort(new Error('the test is over'));
    await serving.catch(() => {});
    await application.close();
    rmSync(folder, { recursive: true });
  });
  return await Promise.race([announced, serving.then(() => '')]);
}

async function ask(url: string, path: string, body: object) {
  const response = await fetch(`${url}/v1/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', temperature: 0, ...body }),
  });
  expect(response.status).toBe(200);
  return await response.json();
}
const continuation = async (url: string, prompt: string, tokens: number): Promise<string> =>
  (await ask(url, 'completions', { prompt, max_tokens: tokens })).choices[0].text;

describe('a model that is served by two devices', () => {
  it('gives over HTTP the answers that one gives, to requests that arrive together', async () => {
    const [one, two] = [await serve('cpu', 1), await serve('cpu', 2)];
    const prompts = ['turn on the lamp in', 'set an alarm for', 'what is the weather'];
    const expected = await Promise.all(prompts.map((prompt) => continuation(one, prompt, 40)));
    expect(expected.every((text) => text.length > 20)).toBe(true);
    expect(await Promise.all(prompts.map((prompt) => continuation(two, prompt, 40)))).toEqual(expected);
    const body = { messages: [{ role: 'user', content: 'play some jazz' }], max_completion_tokens: 24, logprobs: true };
    const [alone, shared] = [await ask(one, 'chat/completions', body), await ask(two, 'chat/completions', body)];
    expect(shared.choices[0].message).toEqual(alone.choices[0].message);
    const logprobs = (answer: typeof alone): number[] =>
      answer.choices[0].logprobs.content.map(({ logprob }: { logprob: number }) => logprob);
    expect(logprobs(alone).length).toBeGreaterThan(3);
    // Activations are of bf16, and the ranks' parts are summed in another order.
    for (const [i, value] of logprobs(shared).entries())
      expect(Math.abs(value - logprobs(alone)[i]!)).toBeLessThan(0.02);
  }, 120_000);

  it('gives them on emulated GPUs, which meet by NCCL', async () => {
    const [one, two] = [await serve('cpu', 1), await serve('cuda', 2)];
    const prompt = 'turn on the lamp in';
    expect(await continuation(two, prompt, 8)).toBe(await continuation(one, prompt, 8));
  }, 120_000);
});
