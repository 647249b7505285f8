import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, type RunningServer, startServer } from '../../test/running-server.js';

const adminKey = 'admin-key-0123456789abcdef';
let running: RunningServer;
beforeAll(async () => {
  running = await startServer({ reply: () => 'four' }, { adminKeys: [adminKey] });
});
afterAll(() => running[Symbol.asyncDispose]());

const get = (path: string, headers: Record<string, string> = {}) => fetch(running.url + path, { headers });
const admin = { authorization: `Bearer ${adminKey}` };

describe('health', () => {
  it('has the shape of SyRS 6.1.3', async () => {
    const report = (await (await get('/health')).json()) as Record<string, unknown>;
    expect(report).toEqual({
      status: 'healthy',
      components: ['server', 'model:tiny', 'model:org/adapter'].map((name) => ({
        name,
        status: 'healthy',
        latency_ms: expect.any(Number),
      })),
      version: '0.1.0',
      uptime_seconds: expect.any(Number),
    });
  });

  it('is degraded when one model failed, unhealthy when none works', async () => {
    const adapter = running.host.models.get('org/adapter')!;
    adapter.failure = 'device lost';
    expect(await (await get('/health')).json()).toMatchObject({ status: 'degraded' });
    expect((await get('/readyz')).status).toBe(200);
    running.model.failure = 'device lost';
    const report = await get('/health');
    expect(report.status).toBe(503);
    expect(await report.json()).toMatchObject({ status: 'unhealthy' });
    expect((await get('/readyz')).status).toBe(503);
    expect((await get('/livez')).status).toBe(200);
    adapter.failure = undefined;
    running.model.failure = undefined;
  });
});

describe('metrics', () => {
  it('have the names and types of SyRS 6.1.3', async () => {
    await running.post('/v1/completions', { model: 'tiny', prompt: 'ab' });
    await running.post('/v1/completions', { model: 'made-up-by-a-client', prompt: 'ab' });
    await eventually(() => running.log.find('request').length >= 2);
    const response = await get('/metrics');
    expect(response.headers.get('content-type')).toMatch(/^text\/plain/);
    const text = await response.text();
    for (const [name, type] of [
      ['inference_requests_total', 'counter'],
      ['inference_latency_seconds', 'histogram'],
      ['tokens_generated_total', 'counter'],
      ['gpu_memory_used_bytes', 'gauge'],
      ['active_requests', 'gauge'],
      ['model_load_time_seconds', 'gauge'],
    ]) {
      expect(text).toContain(`# TYPE ${name} ${type}\n`);
    }
    expect(text).toContain('inference_requests_total{endpoint="completions",model="tiny",status="200"} 1');
    expect(text).toContain('inference_requests_total{endpoint="completions",model="unknown",status="404"} 1');
    expect(text).toContain('inference_latency_seconds_count{endpoint="completions",model="tiny"} 1');
    expect(text).toContain('tokens_generated_total{model="tiny"} 4');
    expect(text).toContain('tokens_prompt_total{model="tiny"} 2');
    expect(text).toContain('active_requests 0');
    expect(text).toContain('model_load_time_seconds{model="tiny"} 1.5');
    expect(text).toContain('device_memory_used_bytes{device="cpu:0"} 4096');
    // A CPU is no GPU.
    expect(text).not.toContain('gpu_memory_used_bytes{');
    // A client's text never becomes a label.
    expect(text).not.toContain('made-up');
  });
});

describe('the API document', () => {
  it('is generated from the schemas that check the requests', async () => {
    const document = (await (await get('/openapi.json')).json()) as {
      openapi: string;
      paths: Record<string, Record<string, { requestBody?: unknown; security?: unknown }>>;
      components: { schemas: Record<string, { properties?: Record<string, unknown> }> };
    };
    expect(document.openapi).toBe('3.1.0');
    for (const path of [
      '/v1/completions',
      '/v1/chat/completions',
      '/v1/models',
      '/health',
      '/metrics',
      '/admin/models',
    ]) {
      expect(Object.keys(document.paths)).toContain(path);
    }
    expect(JSON.stringify(document.paths['/v1/chat/completions'])).toContain(
      '#/components/schemas/ChatCompletionRequest',
    );
    const request = Object.entries(document.components.schemas).find(([name]) =>
      name.startsWith('CompletionRequest'),
    )![1];
    expect(Object.keys(request.properties!)).toEqual(
      expect.arrayContaining(['prompt', 'min_p', 'repetition_penalty', 'seed']),
    );
    // Every reference leads somewhere.
    for (const [, name] of JSON.stringify(document).matchAll(/#\/components\/schemas\/([^"]+)/g)) {
      expect(document.components.schemas).toHaveProperty([name!]);
    }
  });

  it('can be read in a browser, without anything from elsewhere', async () => {
    const page = await get('/docs/');
    expect(page.headers.get('content-type')).toContain('text/html');
    const html = await page.text();
    const sources = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, source]) => source!);
    expect(sources.length).toBeGreaterThan(2);
    for (const source of sources) {
      const url = new URL(source, `${running.url}/docs/`);
      expect(url.origin).toBe(running.url);
      expect([source, (await fetch(url)).status]).toEqual([source, 200]);
    }
  });
});

describe('models', () => {
  it('are listed, adapters with their parent, and found by ids with slashes', async () => {
    const { data } = await running.client().models.list();
    expect(data).toEqual([
      { id: 'tiny', object: 'model', created: 1_700_000_000, owned_by: 'tests' },
      { id: 'org/adapter', object: 'model', created: 1_700_000_000, owned_by: 'tests', parent: 'base' },
    ]);
    expect(await running.client().models.retrieve('org/adapter')).toMatchObject({ id: 'org/adapter' });
    await expect(running.client().models.retrieve('nope')).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
  });

  it('are loaded and unloaded by an administrator', async () => {
    const loaded = await running.post('/admin/models', { path: '/models/new', id: 'org/new' }, admin);
    expect(loaded.status).toBe(201);
    expect(await loaded.json()).toMatchObject({ id: 'org/new', object: 'model' });
    const answer = await running.client().completions.create({ model: 'org/new', prompt: 'a' });
    expect(answer.choices[0]!.text).toBe('echo: a');
    const removed = await fetch(`${running.url}/admin/models/org/new`, { method: 'DELETE', headers: admin });
    expect(await removed.json()).toEqual({ id: 'org/new', deleted: true });
    expect((await running.post('/v1/completions', { model: 'org/new', prompt: 'a' })).status).toBe(404);
  });

  it('that cannot be loaded say why', async () => {
    const response = await running.post('/admin/models', { path: '/nowhere' }, admin);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { code: 'model_load_failed', message: 'There is no model at /nowhere. Check the path.' },
    });
  });

  it('show the engine figures to an administrator', async () => {
    expect(await (await get('/admin/stats', admin)).json()).toMatchObject({
      state: 'serving',
      active_requests: 0,
      models: [{ id: 'tiny', running: 0, cache_usage: 0.25, device: 'cpu:0', failure: null }, { id: 'org/adapter' }],
    });
  });
});

describe('requests that are no requests', () => {
  const shape = { error: { message: expect.any(String), type: 'invalid_request_error', param: null } };

  it.each([
    ['an unknown route', '/v1/nowhere', {}, 404, 'unknown_url'],
    [
      'broken JSON',
      '/v1/completions',
      { method: 'POST', body: '{"model": ', headers: { 'content-type': 'application/json' } },
      400,
      'invalid_json',
    ],
    [
      'another content type',
      '/v1/completions',
      { method: 'POST', body: 'model=tiny', headers: { 'content-type': 'text/plain' } },
      415,
      'unsupported_media_type',
    ],
    [
      'an empty body',
      '/v1/completions',
      { method: 'POST', headers: { 'content-type': 'application/json' } },
      400,
      null,
    ],
    [
      'a body that is no object',
      '/v1/completions',
      { method: 'POST', body: '[]', headers: { 'content-type': 'application/json' } },
      400,
      null,
    ],
    [
      'a large body',
      '/v1/completions',
      { method: 'POST', body: `"${'x'.repeat(9 << 20)}"`, headers: { 'content-type': 'application/json' } },
      413,
      'request_too_large',
    ],
  ])('%s', async (_, path, init, status, code) => {
    const response = await fetch(running.url + path, init);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { ...shape.error, code } });
    expect(response.headers.get('x-request-id')).toMatch(/^req_/);
  });
});
