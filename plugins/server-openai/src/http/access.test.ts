import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningServer, startServer } from '../../test/running-server.js';
import { AccessControl } from './access.js';

const apiKey = 'api-key-0123456789abcdef';
const adminKey = 'admin-key-0123456789abcdef';

/** Every route of the server, as `METHOD /path`. */
function routesOf({ server }: RunningServer): string[] {
  const routes: string[] = [];
  const tree = server.app.printRoutes({ commonPrefix: false, includeHooks: false });
  const path: string[] = [];
  for (const line of tree.split('\n')) {
    const match = /^([ │]*)(?:├──|└──) (\S+)(?: \(([A-Z, ]+)\))?/.exec(line);
    if (!match) continue;
    const depth = match[1]!.length / 4;
    path.length = depth;
    path.push(match[2]!);
    for (const method of match[3]?.split(', ') ?? [])
      routes.push(`${method} ${path.join('').replace(/(?<!\/)\*$/, '/*')}`);
  }
  return routes;
}

async function statusOf({ url }: RunningServer, route: string, key?: string): Promise<number> {
  const [method, path] = route.split(' ') as [string, string];
  const response = await fetch(url + path.replace('*', 'index.css'), {
    method,
    headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
  });
  await response.arrayBuffer();
  return response.status;
}

const refused = [401, 403];

describe('every route of a server with keys', () => {
  let running: RunningServer;
  beforeAll(async () => {
    running = await startServer({}, { apiKeys: [apiKey], adminKeys: [adminKey] });
  });
  afterAll(() => running[Symbol.asyncDispose]());

  const isPublic = (route: string) => /^(GET|HEAD) \/(health|livez|readyz|openapi\.json|docs(\/.*)?)$/.test(route);
  const isAdmin = (route: string) => / (\/admin\/|\/v1\/(un)?load_lora_adapter$)/.test(route);

  it('is listed', () => {
    const routes = routesOf(running);
    for (const route of ['POST /v1/completions', 'POST /v1/chat/completions', 'GET /v1/models', 'GET /v1/models/*']) {
      expect(routes).toContain(route);
    }
    for (const route of [
      'GET /health',
      'GET /metrics',
      'POST /admin/models',
      'DELETE /admin/models/*',
      'GET /admin/stats',
    ]) {
      expect(routes).toContain(route);
    }
    expect(routes).toContain('GET /openapi.json');
  });

  it('refuses a request without a key, or with a wrong one, unless it is public', async () => {
    for (const route of routesOf(running)) {
      for (const key of [undefined, 'wrong', `${apiKey}x`, '']) {
        const status = await statusOf(running, route, key);
        if (isPublic(route)) expect([route, refused.includes(status)]).toEqual([route, false]);
        else expect([route, status]).toEqual([route, 401]);
      }
    }
  });

  it('refuses an API key on administrative routes, and lets it in elsewhere', async () => {
    for (const route of routesOf(running)) {
      const status = await statusOf(running, route, apiKey);
      if (isAdmin(route)) expect([route, status]).toEqual([route, 403]);
      else expect([route, refused.includes(status)]).toEqual([route, false]);
    }
  });

  it('lets an admin key in everywhere', async () => {
    for (const route of routesOf(running).filter((route) => !route.startsWith('DELETE'))) {
      expect([route, refused.includes(await statusOf(running, route, adminKey))]).toEqual([route, false]);
    }
  });

  it("answers in OpenAI's shape, which the client understands", async () => {
    await expect(running.client({ apiKey: 'wrong' }).models.list()).rejects.toMatchObject({
      status: 401,
      code: 'invalid_api_key',
    });
    const { data } = await running.client({ apiKey }).models.list();
    expect(data.map(({ id }) => id)).toEqual(['tiny', 'org/adapter']);
  });

  it('never logs or shows a key', async () => {
    await statusOf(running, 'GET /v1/models', apiKey);
    await statusOf(running, 'GET /v1/models', 'guess-guess-guess-guess');
    const metrics = await fetch(`${running.url}/metrics`, { headers: { authorization: `Bearer ${apiKey}` } });
    const text = running.log.text + (await metrics.text());
    for (const key of [apiKey, adminKey, 'guess-guess']) expect(text).not.toContain(key);
    expect(running.log.find('access refused').length).toBeGreaterThan(0);
  });

  it('takes new keys while it runs', async () => {
    const replaced = 'replaced-key-0123456789';
    running.server.update({ ...currentOptions(running), apiKeys: [replaced] });
    expect(await statusOf(running, 'GET /v1/models', apiKey)).toBe(401);
    expect(await statusOf(running, 'GET /v1/models', replaced)).toBe(200);
    running.server.update({ ...currentOptions(running), apiKeys: [apiKey] });
  });
});

function currentOptions(running: RunningServer) {
  return running.server.currentOptions;
}

describe('a server without keys', () => {
  let running: RunningServer;
  beforeAll(async () => {
    running = await startServer({}, { allowedHosts: ['forge.internal'] });
  });
  afterAll(() => running[Symbol.asyncDispose]());

  const statusFor = (host: string, path = '/v1/models') =>
    new Promise<number>((resolve, reject) => {
      const { port } = new URL(running.url);
      httpRequest({ host: '127.0.0.1', port, path, headers: { host } }, (response) => {
        response.resume();
        resolve(response.statusCode!);
      })
        .on('error', reject)
        .end();
    });

  it('is open to this machine, but not for administration', async () => {
    expect(await statusOf(running, 'GET /v1/models')).toBe(200);
    for (const route of routesOf(running).filter((route) => route.includes('/admin/'))) {
      expect([route, await statusOf(running, route, 'anything')]).toEqual([route, 403]);
    }
  });

  it('refuses requests addressed to a foreign name (DNS rebinding)', async () => {
    expect(await statusFor('evil.example')).toBe(403);
    expect(await statusFor('evil.example:8000', '/docs/')).toBe(403);
    for (const host of ['localhost:8000', '127.0.0.1', '[::1]:80', 'app.localhost', 'forge.internal:1']) {
      expect([host, await statusFor(host)]).toEqual([host, 200]);
    }
  });
});

it('compares keys of any length and form', () => {
  const access = new AccessControl({ apiKeys: ['k'.repeat(20)], adminKeys: [] });
  const attempt = (header?: string) => () => access.check('api', header);
  expect(attempt(`Bearer ${'k'.repeat(20)}`)).not.toThrow();
  expect(attempt(`bearer  ${'k'.repeat(20)} `)).not.toThrow();
  for (const header of [
    undefined,
    '',
    'Bearer',
    'Bearer ',
    `Basic ${'k'.repeat(20)}`,
    `Bearer ${'k'.repeat(19)}`,
    'Bearer é',
  ]) {
    expect(attempt(header)).toThrow();
  }
});
