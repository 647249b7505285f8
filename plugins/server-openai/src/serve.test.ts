import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Application, definePlugin, type PluginContext } from '@largeforge/core';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { eventually } from '../test/running-server.js';
import { type Script, ScriptedHost, ScriptedModel } from '../test/scripted-models.js';
import plugin from './index.js';

const messages = [{ role: 'user', content: 'hi' }];

interface Setting {
  readonly script?: Script;
  /** What a further plugin does in its setup. */
  readonly setup?: (context: PluginContext) => void;
  readonly env?: NodeJS.ProcessEnv;
  /** Resolves before a model is loaded. */
  readonly loading?: Promise<void>;
}

/** Boots an application on a config, with a host of scripted models as the service 'models'. */
async function boot(yaml: string, { script, setup, env = {}, loading }: Setting = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-serve-'));
  const file = join(folder, 'largeforge.config.yaml');
  writeFileSync(file, yaml);
  const model = new ScriptedModel('tiny', { reply: () => 'ok', ...script });
  const host = new ScriptedHost();
  const loaded: unknown[] = [];
  host.load = async (spec) => {
    await loading;
    loaded.push(spec);
    host.models.set('tiny', model);
    return host.list()[0]!;
  };
  const models = definePlugin({
    name: 'models',
    version: '1.0.0',
    apiVersion: 1,
    options: z.strictObject({}),
    setup(context) {
      context.services.provide('models', host);
      setup?.(context);
    },
  });
  const abort = new AbortController();
  const log: string[] = [];
  const application = await Application.boot({
    cwd: folder,
    env,
    modules: { '@largeforge/server-openai': async () => plugin, models: async () => models },
    logFormat: 'json',
    logTo: { write: (line: string) => log.push(line) },
    signal: abort.signal,
  });
  let announced: { text: string; url: string } | undefined;
  application.events.on('message', ({ text, fields }) => {
    announced = { text, url: String(fields?.url) };
  });
  onTestFinished(async () => {
    abort.abort();
    await application.close();
    rmSync(folder, { recursive: true });
  });
  return {
    application,
    folder,
    file,
    model,
    host,
    loaded,
    abort,
    log: () => log.join(''),
    /** Runs the pipeline until the server answers; `ended` is the pipeline's end. */
    async serve() {
      const ended = application.runPipeline();
      ended.catch(() => {});
      await Promise.race([ended, eventually(() => announced !== undefined)]);
      return { ended, ...announced! };
    },
    runPipeline: () => application.runPipeline(),
  };
}

const config = (step: string, pluginOptions = '{}', rest = '') => `
plugins: [models, ['@largeforge/server-openai', ${pluginOptions}]]
pipeline: [{name: serve, stage: serve, use: openai, with: {model: ./base, port: 0, ${step}}}]
${rest}`;

const chat = (url: string, headers: Record<string, string> = {}, body: object = {}) =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model: 'tiny', messages, ...body }),
  });

describe('a serve step', () => {
  it('loads its models, announces how to call them, and drains when the run is aborted', async () => {
    const run = await boot(config(''), { script: { reply: () => 'x'.repeat(30), pace: 5 } });
    const { ended, url, text } = await run.serve();
    expect(run.loaded).toEqual([{ path: join(run.folder, 'base') }]);
    expect(text).toContain(`Serving tiny on ${url}`);
    for (const part of ['curl ', 'import OpenAI from', 'from openai import OpenAI', `${url}/docs`])
      expect(text).toContain(part);
    const inFlight = chat(url, {}, { stream: true });
    await eventually(() => run.model.tokens > 0);
    run.abort.abort();
    expect((await (await inFlight).text()).match(/"content":"x"/g)).toHaveLength(30);
    const { outputs } = await ended;
    expect(outputs.get('serve')).toEqual({ url, models: ['tiny'] });
    expect(run.host.models.size).toBe(0);
    await expect(fetch(url)).rejects.toThrow();
  });

  it('opens the port at once and answers 503 until the models are there', async () => {
    let load = () => {};
    const loading = new Promise<void>((resolve) => {
      load = resolve;
    });
    const run = await boot(config(''), { loading });
    const serving = run.serve();
    await eventually(() => run.log().includes('listening'));
    const url = /"url":"([^"]+)"/.exec(run.log())![1]!;
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    expect(await (await fetch(`${url}/readyz`)).json()).toEqual({ status: 'starting' });
    const early = await chat(url);
    expect(early.status).toBe(503);
    expect(early.headers.get('retry-after')).not.toBeNull();
    expect(await early.json()).toMatchObject({ error: { code: 'server_starting' } });
    load();
    await serving;
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    expect((await chat(url)).status).toBe(200);
  });

  it('finds a taken port before it loads anything', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void taken.close());
    const { port } = taken.address() as { port: number };
    const run = await boot(config('').replace('port: 0', `port: ${port}`));
    await expect(run.runPipeline()).rejects.toMatchObject({
      code: 'LF_SERVER_PORT_IN_USE',
      message: `step "serve": port ${port} on 127.0.0.1 is in use`,
      remedy: expect.stringContaining(`--port ${port + 1}`),
    });
    expect(run.loaded).toEqual([]);
  });

  it.each([
    ['host: 0.0.0.0', 'LF_SERVER_UNSAFE_BIND'],
    ["host: '::'", 'LF_SERVER_UNSAFE_BIND'],
    ['host: 203.0.113.1, apiKeys: [0123456789abcdef]', 'LF_SERVER_ADDRESS'],
    ['host: no.such.host.invalid, apiKeys: [0123456789abcdef]', 'LF_SERVER_ADDRESS'],
  ])('refuses to listen with %s', async (step, code) => {
    const run = await boot(config(step));
    await expect(run.runPipeline()).rejects.toMatchObject({ code });
    expect(run.loaded).toEqual([]);
  });

  it('listens on all networks when keys are set, from the environment, and never shows them', async () => {
    const key = 'key-from-environment-0123';
    const run = await boot(config("host: 0.0.0.0, apiKeys: ['${env:KEY}']"), { env: { KEY: key } });
    const { url, text } = await run.serve();
    expect((await chat(url)).status).toBe(401);
    expect((await chat(url, { authorization: `Bearer ${key}` })).status).toBe(200);
    expect(text).toContain('LARGEFORGE_API_KEY');
    const shown = JSON.stringify(await run.application.describeConfig()) + run.log() + text;
    expect(shown).not.toContain(key);
  });

  it('takes its defaults from the plugin, the step before it', async () => {
    const run = await boot(config('limits: {choices: 2}', '{limits: {choices: 1, bodyBytes: 2048}}'));
    const { url } = await run.serve();
    expect((await chat(url, {}, { n: 2 })).status).toBe(200);
    expect((await chat(url, {}, { n: 3 })).status).toBe(400);
    expect((await chat(url, {}, { user: 'x'.repeat(3000) })).status).toBe(413);
  });
});

describe('the config of a running server', () => {
  const first = 'first-key-0123456789';
  const second = 'second-key-0123456789';
  const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

  it('changes keys and limits, of the step and of the plugin', async () => {
    const run = await boot(config(`apiKeys: [${first}]`, '{limits: {choices: 1}}'));
    const { url } = await run.serve();
    writeFileSync(run.file, config(`apiKeys: [${second}]`, '{limits: {choices: 5}}'));
    await run.application.reloadConfig();
    expect((await chat(url, bearer(first))).status).toBe(401);
    expect((await chat(url, bearer(second), { n: 5 })).status).toBe(200);
    expect((await chat(url, bearer(second), { n: 6 })).status).toBe(400);
  });

  it('stays as it is when an edit is wrong, or would open the server to everyone', async () => {
    const run = await boot(config(`host: 0.0.0.0, apiKeys: [${first}]`));
    const { url } = await run.serve();
    writeFileSync(run.file, config('host: 0.0.0.0, apiKeys: [short]'));
    await run.application.reloadConfig();
    expect((await chat(url, bearer(first))).status).toBe(200);
    writeFileSync(run.file, config('host: 0.0.0.0'));
    await run.application.reloadConfig();
    expect((await chat(url)).status).toBe(401);
    expect((await chat(url, bearer(first))).status).toBe(200);
    expect(run.log()).toContain('no apiKeys are set');
  });

  it('needs a restart for another port', async () => {
    const run = await boot(config(''));
    await run.serve();
    writeFileSync(run.file, config('').replace('port: 0', 'port: 1'));
    await run.application.reloadConfig();
    expect(run.log()).toContain('takes effect after a restart: pipeline[0].with.port');
  });
});

describe('plugins of a server', () => {
  it('add routes, which must say who may call them', async () => {
    const run = await boot(config(''), {
      setup: ({ hooks }) =>
        hooks.serve.configure.tap(({ instance }) => {
          const app = instance as { get(url: string, options: object, handler: () => unknown): void };
          app.get('/hello', { config: { access: 'public' } }, () => ({ hello: 'world' }));
        }),
    });
    const { url } = await run.serve();
    expect(await (await fetch(`${url}/hello`)).json()).toEqual({ hello: 'world' });
    const careless = await boot(config(''), {
      setup: ({ hooks }) =>
        hooks.serve.configure.tap(({ instance }) => {
          (instance as { get(url: string, handler: () => unknown): void }).get('/open', () => ({}));
        }),
    });
    await expect(careless.runPipeline()).rejects.toMatchObject({
      code: 'LF_SERVER_ROUTE_ACCESS',
      message: expect.stringContaining('[plugin models]'),
    });
  });

  it('change requests and refuse them, with a status of their own', async () => {
    const run = await boot(config(''), {
      setup: ({ hooks }) =>
        hooks.serve.request.tap((call) => {
          if (call.body.user === 'banned') throw new Error('user banned');
          if (call.body.user === 'greedy') throw Object.assign(new Error('too much today'), { statusCode: 429 });
          if (call.body.user === 'broken') return { ...call, body: { ...call.body, temperature: 'hot' } };
          return { ...call, body: { ...call.body, temperature: 0 } };
        }),
    });
    const { url } = await run.serve();
    expect((await chat(url)).status).toBe(200);
    expect(run.model.requests.at(-1)!.sampling.temperature).toBe(0);
    const banned = await chat(url, {}, { user: 'banned' });
    expect(banned.status).toBe(403);
    expect(await banned.json()).toMatchObject({ error: { message: 'user banned', code: 'request_refused' } });
    expect((await chat(url, {}, { user: 'greedy' })).status).toBe(429);
    const broken = await chat(url, {}, { user: 'broken' });
    expect(broken.status).toBe(400);
    expect(await broken.json()).toMatchObject({ error: { message: expect.stringContaining('A plugin changed') } });
  });

  it('hear of every answer, and may answer instead of an error', async () => {
    const outcomes: { status: number; completionTokens: number }[] = [];
    const run = await boot(config(''), {
      setup: ({ hooks }) => {
        hooks.serve.response.tap((outcome) => void outcomes.push(outcome));
        hooks.serve.error.tap(({ error }) =>
          (error as { status?: number }).status === 404
            ? { status: 418, body: { error: { message: 'teapot' } } }
            : undefined,
        );
      },
    });
    const { url } = await run.serve();
    await chat(url);
    const replaced = await chat(url, {}, { model: 'other' });
    expect(replaced.status).toBe(418);
    expect(await replaced.json()).toEqual({ error: { message: 'teapot' } });
    expect((await chat(url, {}, { temperature: 9 })).status).toBe(400);
    await eventually(() => outcomes.length === 3);
    expect(outcomes.map(({ status }) => status)).toEqual([200, 418, 400]);
    expect(outcomes[0]).toMatchObject({ completionTokens: 2, promptTokens: 19, endpoint: 'chat', model: 'tiny' });
  });
});

describe('largeforge serve', () => {
  const command = (run: Awaited<ReturnType<typeof boot>>, options: Record<string, unknown>) =>
    run.application.commands
      .find(({ name }) => name === 'serve')!
      .run({ options, positionals: [] }, run.application.commandContext());

  it('serves the models of its flags, with keys from a file', async () => {
    const run = await boot("plugins: [models, '@largeforge/server-openai']");
    writeFileSync(join(run.folder, 'keys.txt'), 'a-key-of-a-client-1\n\n  a-key-of-a-client-2\n');
    const ended = command(run, { model: ['./base', 'org/name'], name: 'mine', port: 0, apiKeyFile: 'keys.txt' });
    await eventually(() => run.loaded.length === 2);
    expect(run.loaded).toEqual([{ path: join(run.folder, 'base'), id: 'mine' }, { path: 'org/name' }]);
    const url = /"url":"([^"]+)"/.exec(run.log())![1]!;
    await eventually(() => run.host.models.has('tiny'));
    expect((await chat(url, { authorization: 'Bearer a-key-of-a-client-2' })).status).toBe(200);
    expect((await chat(url)).status).toBe(401);
    run.abort.abort();
    await ended;
  });

  it('follows the config file', async () => {
    const config = (key: string) => `plugins: [models, ['@largeforge/server-openai', {apiKeys: [${key}], port: 0}]]`;
    const run = await boot(config('the-key-before-the-edit'));
    const ended = command(run, { model: ['./base'] });
    await eventually(() => run.host.models.has('tiny'));
    const url = /"url":"([^"]+)"/.exec(run.log())![1]!;
    const status = async (key: string) => (await chat(url, { authorization: `Bearer ${key}` })).status;
    expect(await status('the-key-before-the-edit')).toBe(200);
    writeFileSync(run.file, config('the-key-after-the-edit'));
    await eventually(async () => (await status('the-key-after-the-edit')) === 200);
    expect(await status('the-key-before-the-edit')).toBe(401);
    run.abort.abort();
    await ended;
  });

  it('says what is wrong with a file of keys', async () => {
    const run = await boot("plugins: [models, '@largeforge/server-openai']");
    await expect(command(run, { model: ['x'], apiKeyFile: 'nowhere.txt' })).rejects.toMatchObject({
      code: 'LF_SERVER_KEY_FILE',
      exitCode: 2,
    });
  });
});
