import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Evaluation } from '../evaluate.fixture.js';

/** A server of OpenAI's API with a token a character, each as likely as its letter comes late in the alphabet. */
class LetterServer {
  readonly bodies: Record<string, unknown>[] = [];
  readonly keys: (string | undefined)[] = [];
  failures = 0;
  scores = true;
  private readonly server: Server;

  constructor() {
    this.server = createServer(async (request, response) => {
      let text = '';
      for await (const chunk of request) text += chunk;
      const body = JSON.parse(text);
      this.bodies.push({ path: request.url, ...body });
      this.keys.push(request.headers.authorization);
      if (this.failures > 0) {
        this.failures--;
        response.writeHead(503).end('{"error": "busy"}');
        return;
      }
      if (body.model !== 'letters') {
        response.writeHead(404).end('{"error": "no such model"}');
        return;
      }
      if (body.echo) {
        response.end(
          JSON.stringify({
            choices: [{ text: body.prompt, logprobs: this.scores ? this.logprobs(body.prompt) : null }],
          }),
        );
        return;
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const event = (value: unknown) => response.write(`data: ${JSON.stringify(value)}\n\n`);
      for (const piece of ['the ans', 'wer is 7', '.\nQ']) {
        event({ choices: [request.url!.includes('chat') ? { delta: { content: piece } } : { text: piece }] });
      }
      event({ choices: [], usage: { prompt_tokens: 11, completion_tokens: 5 } });
      response.end('data: [DONE]\n\n');
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/v1`;
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  private logprobs(prompt: string) {
    const tokens = [...prompt];
    const own = tokens.map((token, i) => (i === 0 ? null : (token.codePointAt(0)! - 123) / 10));
    return {
      tokens,
      token_logprobs: own,
      text_offset: tokens.map((_, i) => i),
      top_logprobs: own.map((logprob) => (logprob === null ? null : { z: -0.1 })),
    };
  }
}

let evaluation: Evaluation;
let server: LetterServer;
let url: string;
beforeEach(async () => {
  evaluation = await Evaluation.start();
  server = new LetterServer();
  url = await server.listen();
});
afterEach(async () => {
  server.close();
  await evaluation[Symbol.asyncDispose]();
});

const task = (lines: string[]) =>
  evaluation.write('own.yaml', ['task: own', 'dataset_path: json', 'test_split: test', ...lines].join('\n'));
const run = (
  tasks: string,
  rows: unknown[],
  options: Record<string, unknown> = {},
  model: Record<string, unknown> = {},
) =>
  evaluation.run('tasks', {
    model: { url, model: 'letters', attempts: 2, ...model },
    tasks,
    data: { own: evaluation.write('rows.jsonl', rows) },
    ...options,
  });
const results = (outputs: Readonly<Record<string, unknown>>) =>
  JSON.parse(readFileSync(outputs.results as string, 'utf8'));

describe('a model behind a server', () => {
  const sums = () =>
    task([
      'doc_to_text: ask',
      'doc_to_target: "{{answer}}"',
      'generation_kwargs: {until: ["\\n"]}',
      'metric_list: [{metric: contains}]',
    ]);

  it('answers tasks, as a text or as a conversation', async () => {
    const rows = [
      { ask: '3 + 4 =', answer: '7.' },
      { ask: '3 + 5 =', answer: '8' },
    ];
    const outputs = await run(sums(), rows, {}, { apiKey: 'sesame' });
    expect(results(outputs).results.own['contains,none']).toBe(0.5);
    expect(server.bodies[0]).toMatchObject({
      path: '/v1/completions',
      prompt: '3 + 4 =',
      stop: ['\n'],
      temperature: 0,
    });
    expect(server.keys[0]).toBe('Bearer sesame');
    expect(readFileSync(outputs.results as string, 'utf8')).not.toContain('sesame');
    await run(sums(), rows, { chat: true });
    expect(server.bodies.at(-1)).toMatchObject({ path: '/v1/chat/completions', messages: [{ role: 'user' }] });
  });

  it('scores choices where the server tells log-probabilities of the prompt', async () => {
    const choice = [
      'output_type: multiple_choice',
      'doc_to_text: ask',
      'doc_to_choice: [ab, zz]',
      'doc_to_target: "{{1}}"',
    ];
    const outputs = await run(task(choice), [{ ask: 'which' }]);
    expect(results(outputs).results.own['acc,none']).toBe(1);
    const samples = readFileSync((outputs.results as string).replace('results.json', 'samples_own.jsonl'), 'utf8');
    const [[[ab]], [[zz]]] = JSON.parse(samples).resps;
    // The space before the choice, then its letters.
    expect(ab).toBeCloseTo((32 - 123 + (97 - 123) + (98 - 123)) / 10, 6);
    expect(zz).toBeCloseTo((32 - 123 + 2 * (122 - 123)) / 10, 6);
    server.scores = false;
    await expect(run(task(choice), [{ ask: 'which' }])).rejects.toMatchObject({ code: 'LF_EVALUATE_SERVER_SCORES' });
  });

  it('is asked again when it is busy, and its refusals are told', async () => {
    server.failures = 1;
    await run(sums(), [{ ask: 'a', answer: 'b' }]);
    expect(server.bodies).toHaveLength(2);
    await expect(run(sums(), [{ ask: 'a', answer: 'b' }], {}, { model: 'words' })).rejects.toThrow('no such model');
    expect(server.bodies).toHaveLength(3);
    await expect(
      run(sums(), [{ ask: 'a', answer: 'b' }], {}, { url: 'http://127.0.0.1:9/v1', attempts: 1 }),
    ).rejects.toMatchObject({ code: 'LF_EVALUATE_SERVER' });
  });

  it('is measured under load', async () => {
    const outputs = await evaluation.run('profile', {
      model: { url, model: 'letters' },
      concurrency: [1, 3],
      rounds: 2,
      promptWords: 5,
    });
    const { profiles } = results(outputs);
    expect(profiles.map(({ concurrency }: { concurrency: number }) => concurrency)).toEqual([1, 3]);
    expect(profiles[1]).toMatchObject({ promptTokens: 11 });
    expect(outputs.tokensPerSecond).toBeGreaterThan(0);
    // For each load one request to warm up, then two rounds.
    expect(server.bodies).toHaveLength(1 + 2 + 1 + 6);
  });
});
