import { createServer, type RequestListener } from 'node:http';
import { describe, expect, test } from 'vitest';
import { HealthChecks } from '../../plugins/router-hybrid/src/experts/health-checks.js';
import { eventually } from '../../plugins/server-openai/test/running-server.js';
import { describedExperts, jazz, json, start } from './routing-server.js';

const listing: RequestListener = (_, response) => void response.end(JSON.stringify({ data: [{ id: 'general' }] }));

/** A server that is no largeforge, at an address without /v1: how it completes, and how it lists its models. */
async function peer(
  answer: RequestListener,
  models = listing,
): Promise<{ readonly url: string; readonly close: () => void }> {
  const server = createServer((request, response) => {
    // What is not read would hold up a connection that is used again.
    request.resume();
    (request.url?.endsWith('/models') ? models : answer)(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const { port } = server.address() as { port: number };
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${port}`, close };
}

describe('an expert on another server', () => {
  const elsewhere = (url: string) => [
    { ...describedExperts[0], url: `${url}/v1`, model: 'general', fallback: ['weather'] },
    describedExperts[1]!,
  ];

  test('is asked under its own model, with its own key', async () => {
    const other = await start();
    const { server } = await start({ experts: elsewhere(other.server.url) });
    const { model, choices } = await server.client().chat.completions.create({ model: 'auto', messages: jazz });
    expect(model).toBe('music');
    expect(choices[0]!.message.content).toBe('general answers');
    expect(other.server.host.models.get('general')!.requests).toHaveLength(1);
  });
  test('that is gone is stood in for, and not asked again until its circuit closes', async () => {
    const other = await start();
    const { server, registry } = await start({ experts: elsewhere(other.server.url) });
    await other.server.server.stop();
    for (let i = 0; i < 4; i++) {
      const { model } = await server.client().chat.completions.create({ model: 'music', messages: jazz });
      expect(model).toBe('weather');
    }
    expect(registry.get('music')!.breaker.state).toBe('open');
    expect(registry.unavailable).toEqual(new Set(['music']));
    // Now that it is known to be gone, its queries still find the stand-in.
    expect((await server.client().chat.completions.create({ model: 'auto', messages: jazz })).model).toBe('weather');
    expect((await json(await server.post('/route', { query: 'play some jazz' }))).body.expert).toBe('weather');
  });
  test('that fails before its first token is stood in for, also in a stream', async () => {
    const broken = { failAt: { token: 0, error: new Error('lost') } };
    const other = await start({ scripts: { general: broken } });
    const { server } = await start({ experts: elsewhere(other.server.url) });
    const stream = await server.client().chat.completions.create({ model: 'auto', messages: jazz, stream: true });
    let text = '';
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    expect(text).toBe('weather answers');
  });
  test('that fails later ends the stream with an error: half an answer is nobody else’s', async () => {
    const other = await start({ scripts: { general: { failAt: { token: 3, error: new Error('lost') } } } });
    const { server } = await start({ experts: elsewhere(other.server.url) });
    const body = { model: 'auto', messages: jazz, stream: true };
    const text = await (await server.post('/v1/chat/completions', body)).text();
    expect(text).toContain('"error"');
    expect(text).not.toContain('weather');
    expect(text.trimEnd().endsWith('data: [DONE]')).toBe(true);
  });
  test('that has too much to do is stood in for, and stays trusted', async () => {
    let asked = 0;
    const { url, close } = await peer((_, response) => {
      asked++;
      response.writeHead(429, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: { message: 'too many requests' } }));
    });
    try {
      const { server, registry } = await start({ experts: elsewhere(url) });
      for (let i = 0; i < 4; i++) {
        expect((await server.client().chat.completions.create({ model: 'music', messages: jazz })).model).toBe(
          'weather',
        );
      }
      expect(asked).toBe(4);
      expect(registry.get('music')!.breaker.state).toBe('closed');
    } finally {
      close();
    }
  });
  test('that hangs is stood in for when its time is up, also in the middle of a body', async () => {
    const { url, close } = await peer((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('{"choices":');
    });
    try {
      const [music, weather] = elsewhere(url);
      const { server, registry } = await start({ experts: [{ ...music, timeout_ms: 60 }, weather!] });
      const { model } = await server.client().chat.completions.create({ model: 'auto', messages: jazz });
      expect(model).toBe('weather');
      expect(registry.list().map(({ active }) => active)).toEqual([0, 0]);
    } finally {
      close();
    }
  });
  test('that failed once is tried again when nobody else is there', async () => {
    let asked = 0;
    const { url, close } = await peer((request, response) => {
      if (asked++ === 0) return void request.socket.destroy();
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ model: 'general', choices: [{ index: 0, message: { content: 'back' } }] }));
    });
    try {
      const { server } = await start({ experts: [{ ...elsewhere(url)[0], fallback: [] }] });
      const { choices } = await server.client().chat.completions.create({ model: 'music', messages: jazz });
      expect(choices[0]!.message.content).toBe('back');
      expect(asked).toBe(2);
    } finally {
      close();
    }
  });
  test('that refuses a request as wrong is not asked again, nor is another: the mistake is the client’s', async () => {
    let asked = 0;
    const { url, close } = await peer((_, response) => {
      asked++;
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: { message: 'no such parameter' } }));
    });
    try {
      const { server } = await start({ experts: elsewhere(url) });
      const answer = await json(await server.post('/v1/chat/completions', { model: 'music', messages: jazz }));
      expect(answer).toMatchObject({ status: 400, body: { error: { message: 'no such parameter' } } });
      expect(server.host.models.get('weather')!.requests).toHaveLength(0);
      expect(asked).toBe(1);
    } finally {
      close();
    }
  });
  test('that lists no models is healthy as long as it answers', async () => {
    const { url, close } = await peer(listing, (_, response) => void response.writeHead(404).end('no such page'));
    try {
      const { registry } = await start({ experts: elsewhere(url) });
      const checks = new HealthChecks(registry, { intervalMs: 60_000, timeoutMs: 1000 });
      await checks.run();
      checks.stop();
      expect(registry.get('music')!.available).toBe(true);
    } finally {
      close();
    }
  });
  test('when nobody can answer, the client is told to come back', async () => {
    const other = await start();
    const alone = [{ ...elsewhere(other.server.url)[0], fallback: [] }];
    const { server } = await start({ experts: alone });
    await other.server.server.stop();
    const answer = await server.post('/v1/chat/completions', { model: 'music', messages: jazz });
    expect(answer.headers.get('retry-after')).toBe('1');
    expect(await json(answer)).toMatchObject({ status: 503, body: { error: { code: 'no_expert_available' } } });
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toContain('router_expert_failures_total{expert="music"} 2');
  });
  test('is found inactive by the health check, and active again', async () => {
    let up = true;
    const { url, close } = await peer(listing, (request, response) => {
      response.writeHead(up ? 200 : 503, { 'content-type': 'application/json' });
      listing(request, response);
    });
    try {
      const health = { intervalMs: 20, timeoutMs: 1000 };
      const { registry } = await start({ experts: elsewhere(url), health });
      up = false;
      await eventually(() => !registry.get('music')!.available);
      expect(registry.get('music')!.problem).toContain('503');
      up = true;
      await eventually(() => registry.get('music')!.available);
    } finally {
      close();
    }
  });
});

describe('a request that is hedged', () => {
  const hedged = [{ name: 'slow', model: 'general', hedge_after_ms: 20, fallback: ['weather'] }, { name: 'weather' }];
  test('is answered by the sooner one; the other is stopped', async () => {
    const scripts = { general: { gate: () => new Promise<void>(() => {}) } };
    const { server, registry } = await start({ experts: hedged, scripts });
    const { model } = await server.client().chat.completions.create({ model: 'slow', messages: jazz });
    expect(model).toBe('weather');
    await eventually(() => server.host.models.get('general')!.cancelled === 1);
    expect(registry.get('slow')).toMatchObject({ active: 0, breaker: { state: 'closed' } });
  });
  test('is not asked twice when the first is quick', async () => {
    const { server } = await start({ experts: [{ ...hedged[0], hedge_after_ms: 5000 }, hedged[1]!] });
    const { model } = await server.client().chat.completions.create({ model: 'slow', messages: jazz });
    expect(model).toBe('slow');
    expect(server.host.models.get('weather')!.requests).toHaveLength(0);
  });
});
