import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { eventually, type RunningServer, startServer } from '../test/running-server.js';

const messages = [{ role: 'user' as const, content: 'hi' }];

/** A gate that opens once, for scripts that keep sequences queued. */
function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

const chat = (running: RunningServer, body: object = {}) =>
  running.post('/v1/chat/completions', { model: 'tiny', messages, ...body });

describe('a client that hangs up', () => {
  it('cancels a stream in the middle', async () => {
    await using running = await startServer({ reply: () => 'x'.repeat(500), pace: 2 });
    const stream = await running.client().chat.completions.create({ model: 'tiny', messages, stream: true });
    let seen = 0;
    for await (const _ of stream) if (++seen === 3) break;
    await eventually(() => running.model.running === 0);
    expect(running.model.cancelled).toBe(1);
    expect(running.model.tokens).toBeLessThan(200);
    await eventually(() => running.log.find('request').length === 1);
    expect(running.log.find('request')[0]).toMatchObject({ status: 499, stream: true, endpoint: 'chat' });
  });

  it('cancels a request that does not stream', async () => {
    await using running = await startServer({ reply: () => 'x'.repeat(500), pace: 2 });
    const abort = new AbortController();
    const answer = running.client().chat.completions.create({ model: 'tiny', messages }, { signal: abort.signal });
    await eventually(() => running.model.tokens > 0);
    abort.abort();
    await expect(answer).rejects.toThrow(OpenAI.APIUserAbortError);
    await eventually(() => running.model.running === 0 && running.server.activeRequests === 0);
    await eventually(() => running.log.find('request')[0]?.status === 499);
  });

  it('gives its place in the queue back', async () => {
    const { opened } = gate();
    await using running = await startServer({ gate: () => opened });
    const abort = new AbortController();
    const answer = running
      .client()
      .chat.completions.create({ model: 'tiny', messages, n: 3 }, { signal: abort.signal });
    await eventually(() => running.model.running === 3);
    abort.abort();
    await expect(answer).rejects.toThrow();
    await eventually(() => running.server.activeRequests === 0 && running.model.running === 0);
  });
});

describe('a full queue', () => {
  it('answers 429 with Retry-After, and the client retries until there is room', async () => {
    const { open, opened } = gate();
    await using running = await startServer(
      { gate: () => opened, reply: () => 'ok' },
      { limits: { queuedRequests: 1 } },
    );
    const first = chat(running);
    await eventually(() => running.model.running === 1);

    const refused = await chat(running);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(Number(refused.headers.get('retry-after-ms'))).toBeGreaterThan(0);
    expect(await refused.json()).toMatchObject({ error: { type: 'rate_limit_error', code: 'queue_full' } });

    const retried = running.client({ maxRetries: 5 }).chat.completions.create({ model: 'tiny', messages });
    await sleep(100);
    open();
    expect((await retried).choices[0]!.message.content).toBe('ok');
    expect((await first).status).toBe(200);
  });

  it('counts tokens too', async () => {
    const { open, opened } = gate();
    await using running = await startServer({ gate: () => opened }, { limits: { queuedTokens: 300 } });
    const first = chat(running, { max_tokens: 250 });
    await eventually(() => running.model.running === 1);
    const refused = await chat(running, { max_tokens: 250 });
    expect(refused.status).toBe(429);
    const small = chat(running, { max_tokens: 5 });
    open();
    expect((await small).status).toBe(200);
    expect((await first).status).toBe(200);
  });

  it('lets a request in that is alone, however large', async () => {
    await using running = await startServer({}, { limits: { queuedTokens: 1, queuedRequests: 1 } });
    expect((await chat(running, { n: 4 })).status).toBe(200);
  });
});

describe('the status line', () => {
  it('is not sent before the engine began to answer', async () => {
    const { open, opened } = gate();
    await using running = await startServer({ gate: () => opened });
    let answered = false;
    const response = chat(running, { stream: true }).then((value) => {
      answered = true;
      return value;
    });
    await eventually(() => running.model.running === 1);
    await sleep(100);
    expect(answered).toBe(false);
    open();
    expect((await response).status).toBe(200);
  });

  it('says 503 when the device has no memory, and the client may retry', async () => {
    const error = Object.assign(new Error('no memory'), { code: 'LF_BACKEND_OUT_OF_MEMORY' });
    await using running = await startServer({ failAt: { token: 0, error } });
    const response = await chat(running, { stream: true });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).not.toBeNull();
    expect(await response.json()).toMatchObject({ error: { code: 'out_of_memory' } });
  });

  it('says 500 for a failure of ours, without its details', async () => {
    await using running = await startServer({ failAt: { token: 0, error: new Error('a detail of the engine') } });
    const response = await chat(running);
    expect(response.status).toBe(500);
    const text = await response.text();
    expect(text).not.toContain('detail of the engine');
    expect(text).toContain(response.headers.get('x-request-id'));
    expect(running.log.find('request failed')[0]!.error).toBe('a detail of the engine');
  });
});

describe('a stream', () => {
  it('that fails in the middle ends with an error and [DONE]', async () => {
    await using running = await startServer({
      reply: () => 'abcdef',
      failAt: { token: 3, error: new Error('device lost') },
    });
    const text = await (await chat(running, { stream: true })).text();
    const frames = text.split('\n\n').filter(Boolean);
    expect(frames.at(-1)).toBe('data: [DONE]');
    expect(JSON.parse(frames.at(-2)!.slice(6))).toMatchObject({
      error: { type: 'server_error', code: 'internal_error' },
    });

    const stream = await running.client().chat.completions.create({ model: 'tiny', messages, stream: true });
    let content = '';
    const consume = async () => {
      for await (const chunk of stream) content += chunk.choices[0]?.delta.content ?? '';
    };
    await expect(consume()).rejects.toThrow(OpenAI.APIError);
    expect(content).toBe('abc');
  });

  it('carries heartbeats while the model is silent', async () => {
    await using running = await startServer({ reply: () => 'ab', pace: 150 }, { limits: { heartbeatSeconds: 0.04 } });
    const text = await (await chat(running, { stream: true })).text();
    expect(text).toContain(': keep-alive\n\n');
    const stream = await running.client().chat.completions.create({ model: 'tiny', messages, stream: true });
    let content = '';
    for await (const chunk of stream) content += chunk.choices[0]?.delta.content ?? '';
    expect(content).toBe('ab');
  });

  it('goes no faster than its reader reads, and is cancelled when the reader stalls', async () => {
    const huge = 'x'.repeat(400_000);
    await using running = await startServer(
      { reply: () => huge, contextLength: 1_000_000 },
      { limits: { stalledReaderSeconds: 0.5 } },
    );
    const body = JSON.stringify({ model: 'tiny', messages, stream: true, max_tokens: 400_000 });
    const socket = connect(Number(new URL(running.url).port), '127.0.0.1');
    socket.pause();
    socket.on('error', () => {});
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await eventually(() => running.model.tokens > 0);
    let before = -1;
    while (running.model.tokens !== before) {
      before = running.model.tokens;
      await sleep(150);
    }
    // The socket's buffers are full: the model waits, far from its end.
    expect(running.model.tokens).toBeLessThan(200_000);
    await eventually(() => running.model.running === 0);
    await eventually(() => running.server.activeRequests === 0);
    socket.destroy();
  });
});

describe('shutting down', () => {
  it('fails readiness, refuses new requests, lets running ones end, then closes the port', async () => {
    await using running = await startServer({ reply: () => 'x'.repeat(40), pace: 5 });
    expect((await fetch(`${running.url}/readyz`)).status).toBe(200);
    const inFlight = chat(running, { stream: true });
    await eventually(() => running.model.tokens > 0);

    const drained = running.server.drain();
    expect((await fetch(`${running.url}/readyz`)).status).toBe(503);
    expect((await fetch(`${running.url}/livez`)).status).toBe(200);
    const refused = await chat(running);
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).not.toBeNull();
    expect(await refused.json()).toMatchObject({ error: { code: 'server_draining' } });

    const text = await (await inFlight).text();
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
    expect(text.match(/"content":"x"/g)).toHaveLength(40);
    await drained;
    await expect(fetch(`${running.url}/livez`)).rejects.toThrow();
  });

  it('cancels what still runs when the time is over, and tells the client', async () => {
    await using running = await startServer(
      { reply: () => 'x'.repeat(1000), pace: 5 },
      { limits: { drainSeconds: 0.1 } },
    );
    const inFlight = chat(running, { stream: true });
    await eventually(() => running.model.tokens > 0);
    await running.server.drain();
    const text = await (await inFlight).text();
    expect(text).toContain('"code":"server_draining"');
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
    expect(running.model.running).toBe(0);
  });
});

describe('what is kept of a request', () => {
  it('is how it went, never what was said', async () => {
    const secret = 'the-launch-code-is-0000';
    await using running = await startServer({ reply: () => `${secret}-answer` });
    await chat(running, { messages: [{ role: 'user', content: secret }], stop: [`${secret}-stop`] });
    await chat(running, { messages: [{ role: 'user', content: secret }], stream: true }).then((r) => r.text());
    await chat(running, { messages: [{ role: secret, content: secret }] });
    await running.post('/v1/completions', { model: 'tiny', prompt: [secret], user: secret });
    await running.post('/v1/completions', { model: secret, prompt: secret });
    await running.post('/v1/completions', `{"prompt": "${secret}`);
    await fetch(`${running.url}/v1/nowhere?prompt=${secret}`);
    await eventually(() => running.log.find('request').length >= 7);
    expect(running.log.text).not.toContain(secret);
    expect(await (await fetch(`${running.url}/metrics`)).text()).not.toContain(secret);
  });

  it('has the request id, timing and token counts', async () => {
    await using running = await startServer({ reply: () => 'abc' });
    const response = await running.post(
      '/v1/chat/completions',
      { model: 'tiny', messages },
      { 'x-request-id': 'trace-42' },
    );
    expect(response.headers.get('x-request-id')).toBe('trace-42');
    await eventually(() => running.log.find('request').length === 1);
    const [record] = running.log.find('request');
    expect(record).toMatchObject({
      requestId: 'trace-42',
      method: 'POST',
      path: '/v1/chat/completions',
      endpoint: 'chat',
      model: 'tiny',
      status: 200,
      promptTokens: 19,
      completionTokens: 3,
      stream: false,
    });
    expect(record!.durationMs).toBeGreaterThan(0);
    expect(record!.firstTokenMs).toBeGreaterThan(0);
  });

  it('does not take over a request id that could break a log', async () => {
    await using running = await startServer();
    const response = await fetch(`${running.url}/livez`, { headers: { 'x-request-id': 'a b"c' } });
    expect(response.headers.get('x-request-id')).toMatch(/^req_[0-9a-f]{32}$/);
  });
});
