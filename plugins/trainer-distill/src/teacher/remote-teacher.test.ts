import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { readModelSource, Tokenizer } from '@largeforge/engine';
import { afterEach, describe, expect, it } from 'vitest';
import { RemoteTeacher } from './remote-teacher.js';

const base = fileURLToPath(new URL('../../../../examples/quickstart/base', import.meta.url));
const tokenizer = Tokenizer.of(readModelSource(base));
const row = { tokens: Int32Array.from([9, 30, 41, 50]), mask: Uint8Array.from([0, 0, 1, 1]) };

let server: Server | undefined;
afterEach(() => new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined))));

type Body = { prompt: number[] | number[][]; echo?: boolean; logprobs: number };

/** A teacher behind a server that answers so. */
async function asked(answer: (body: Body, request: number) => { status?: number; body: unknown }) {
  const bodies: Body[] = [];
  server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => (text += chunk));
    request.on('end', () => {
      bodies.push(JSON.parse(text));
      const { status = 200, body } = answer(bodies.at(-1) as Body, bodies.length);
      response.writeHead(status).end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const options = { url, model: 'm', apiKey: 'k', topK: 3, signal: new AbortController().signal };
  const teacher = await RemoteTeacher.open(tokenizer, 2048, options);
  return { bodies, answers: teacher.ask([row]) };
}

const top = { 'token_id:7': -0.5, 'token_id:8': -1.5 };

describe('a teacher behind a server', () => {
  it('is asked for all positions of a row at once where the server echoes, as vLLM does', async () => {
    const logprobs = { tokens: [], top_logprobs: [null, top, { 'token_id:9': -0.1 }, top, top] };
    const { bodies, answers } = await asked(() => ({ body: { choices: [{ index: 0, logprobs }] } }));
    const [taught] = await answers;
    expect(bodies).toEqual([expect.objectContaining({ prompt: [9, 30, 41, 50], echo: true, logprobs: 3 })]);
    // Places that the server left empty are impossible, and of other tokens.
    expect([...taught!.tokens]).toEqual([9, 0, 1, 7, 8, 0]);
    const expected = [-0.1, Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, -0.5, -1.5, Number.NEGATIVE_INFINITY];
    expect([...taught!.logProbabilities]).toEqual(expected.map(Math.fround));
  });

  it('is asked what follows each beginning where it does not, and understands texts of tokens', async () => {
    const text = await tokenizer.decode([300], { skipSpecialTokens: false });
    const { bodies, answers } = await asked(({ echo }) =>
      echo
        ? { status: 400, body: { error: { message: 'echo with logprobs is not supported', param: 'echo' } } }
        : {
            body: {
              choices: [
                { index: 1, logprobs: { tokens: [], top_logprobs: [top] } },
                { index: 0, logprobs: { tokens: [], top_logprobs: [{ [text]: -0.25 }] } },
              ],
            },
          },
    );
    const [taught] = await answers;
    expect(bodies[1]?.prompt).toEqual([
      [9, 30],
      [9, 30, 41],
    ]);
    expect([taught!.tokens[0], taught!.logProbabilities[0]]).toEqual([300, -0.25]);
    expect([...taught!.tokens.slice(3, 5)]).toEqual([7, 8]);
  });

  it('is asked again while it is busy', async () => {
    const logprobs = { tokens: [], top_logprobs: [null, top, top, top, top] };
    const { bodies, answers } = await asked((_, request) =>
      request === 1 ? { status: 503, body: {} } : { body: { choices: [{ index: 0, logprobs }] } },
    );
    await answers;
    expect(bodies.length).toBe(2);
  });

  it.each([
    ['refuses', { status: 401, body: { error: 'no key' } }, /does not answer: 401 .*no key/],
    ['gives none', { body: { choices: [{ index: 0, logprobs: null }] } }, /gives no log-probabilities/],
    [
      'has other tokens',
      { body: { choices: [{ index: 0, logprobs: { top_logprobs: new Array(5).fill({ 龘龘: -1 }) } }] } },
      /names a token "龘龘" that the student does not have/,
    ],
  ])('that %s is told of', async (_, answer, message) => {
    const { answers } = await asked(() => answer);
    await expect(answers).rejects.toMatchObject({ message: expect.stringMatching(message) });
  });
});
