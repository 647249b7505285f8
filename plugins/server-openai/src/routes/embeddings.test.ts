import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningServer, startServer } from '../../test/running-server.js';

/** Number of the text's tokens, and the first of them as a fraction that f32 holds. */
const vector = (tokens: ArrayLike<number>) => Float32Array.of(tokens.length, (tokens[0] as number) / 1024, -0.5);

let running: RunningServer;
beforeAll(async () => {
  running = await startServer({ vector, contextLength: 64 });
});
afterAll(() => running[Symbol.asyncDispose]());
const post = async (body: object) => {
  const response = await running.post('/v1/embeddings', { model: 'tiny', ...body });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
};

describe('embeddings', () => {
  it('come in the order of the texts, with what they cost', async () => {
    const { status, body } = await post({ input: ['a', 'bcd'] });
    expect(status).toBe(200);
    expect(body).toEqual({
      object: 'list',
      data: [
        { object: 'embedding', index: 0, embedding: [1, 97 / 1024, -0.5] },
        { object: 'embedding', index: 1, embedding: [3, 98 / 1024, -0.5] },
      ],
      model: 'tiny',
      usage: { prompt_tokens: 4, total_tokens: 4 },
    });
  });

  it('are read by the official client, which asks for base64', async () => {
    const { data, usage } = await running.client().embeddings.create({ model: 'tiny', input: 'xyz' });
    expect(data[0]?.embedding).toEqual([3, 120 / 1024, -0.5]);
    expect(usage.total_tokens).toBe(3);
  });

  it.each([
    [[7, 8], [[2, 7 / 1024, -0.5]]],
    [
      [[7], [8, 9]],
      [
        [1, 7 / 1024, -0.5],
        [2, 8 / 1024, -0.5],
      ],
    ],
  ])('are given for tokens too: %j', async (input, expected) => {
    const { body } = await post({ input });
    expect((body.data as { embedding: number[] }[]).map(({ embedding }) => embedding)).toEqual(expected);
  });

  it('count as requests of their own in the metrics', async () => {
    await post({ input: 'a' });
    const metrics = await (await fetch(`${running.url}/metrics`)).text();
    expect(metrics).toMatch(/inference_requests_total\{endpoint="embeddings",model="tiny",status="200"\} [1-9]/);
  });

  it.each([
    [{ input: '' }, 400, 'input', null, /not empty/],
    [{ input: [] }, 400, 'input', null, /./],
    [{ input: 'x'.repeat(65) }, 400, 'input', 'context_length_exceeded', /maximum context length is 64/],
    [{ input: [0x110000] }, 400, 'input', null, /vocabulary ends at/],
    [{ input: 'a', dimensions: 2 }, 400, 'dimensions', 'unsupported_parameter', /have 3 dimensions/],
    [{ input: 'a', encoding_format: 'hex' }, 400, 'encoding_format', null, /float/],
    [{ input: 'a', model: 'nope' }, 404, 'model', 'model_not_found', /does not exist/],
  ])('are refused where the request is wrong: %o', async (more, status, param, code, message) => {
    const refused = await post(more);
    expect(refused).toMatchObject({
      status,
      body: { error: { param, code, message: expect.stringMatching(message) } },
    });
  });

  it('accept the dimensions that the vectors have', async () => {
    expect((await post({ input: 'a', dimensions: 3 })).status).toBe(200);
  });

  it('are refused by a model that gives none, and text by one that gives nothing else', async () => {
    await using plain = await startServer({});
    const refused = await plain.post('/v1/embeddings', { model: 'tiny', input: 'a' });
    expect([refused.status, await refused.json()]).toMatchObject([400, { error: { code: 'model_not_supported' } }]);
    await using encoder = await startServer({ vector, generates: false });
    for (const [url, body] of [
      ['/v1/completions', { prompt: 'a' }],
      ['/v1/chat/completions', { messages: [{ role: 'user', content: 'a' }] }],
    ] as const) {
      const response = await encoder.post(url, { model: 'tiny', ...body });
      expect([response.status, await response.json()]).toMatchObject([
        400,
        { error: { code: 'model_not_supported', message: expect.stringContaining('/v1/embeddings') } },
      ]);
    }
  });
});
