import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningServer, startServer } from '../../test/running-server.js';

let running: RunningServer;
beforeAll(async () => {
  running = await startServer({ reply: (prompt) => `${prompt.toUpperCase()}!` });
});
afterAll(() => running[Symbol.asyncDispose]());

const lastRequest = () => running.model.requests.at(-1)!;

describe('completions with the openai client', () => {
  it('continues a text and counts tokens', async () => {
    const { data, response } = await running
      .client()
      .completions.create({ model: 'tiny', prompt: 'hello' })
      .withResponse();
    expect(data.object).toBe('text_completion');
    expect(data.id).toMatch(/^cmpl-/);
    expect(data.choices).toEqual([{ index: 0, text: 'HELLO!', logprobs: null, finish_reason: 'stop' }]);
    expect(data.usage).toMatchObject({ prompt_tokens: 5, completion_tokens: 6, total_tokens: 11 });
    expect(response.headers.get('x-request-id')).toMatch(/^req_/);
    expect(response.headers.get('x-ratelimit-limit-requests')).toBe('1024');
  });

  it('applies the defaults of SyRS 6.1.1', async () => {
    await running.client().completions.create({ model: 'tiny', prompt: 'a' });
    expect(lastRequest().maxTokens).toBe(256);
    expect(lastRequest().sampling).toEqual({
      temperature: 0.7,
      topP: 0.9,
      topK: 50,
      minP: 0,
      repetitionPenalty: 1,
      presencePenalty: 0,
      frequencyPenalty: 0,
    });
  });

  it('hands every sampling parameter on', async () => {
    const body = {
      model: 'tiny',
      prompt: 'a',
      temperature: 0,
      top_p: 0.5,
      top_k: -1,
      min_p: 0.1,
      repetition_penalty: 1.2,
      presence_penalty: 0.3,
      frequency_penalty: -0.4,
      seed: 7,
      n: 2,
      max_tokens: 9,
      stop: ['x', ''],
      logit_bias: { '65': -100 },
      logprobs: 3,
    };
    await running.client().completions.create(body);
    const [first, second] = running.model.requests.slice(-2);
    expect(first).toMatchObject({ maxTokens: 9, stop: ['x'], logprobs: 3 });
    expect(first!.sampling).toEqual({
      temperature: 0,
      topP: 0.5,
      topK: 0,
      minP: 0.1,
      repetitionPenalty: 1.2,
      presencePenalty: 0.3,
      frequencyPenalty: -0.4,
      seed: 7,
      logitBias: new Map([[65, -100]]),
    });
    expect(second!.sampling.seed).toBe(8);
  });

  it('accepts null wherever OpenAI does', async () => {
    const names = [
      'max_tokens',
      'temperature',
      'top_p',
      'n',
      'stop',
      'seed',
      'logprobs',
      'stream',
      'suffix',
      'echo',
      'best_of',
    ];
    const nulls = Object.fromEntries(names.map((name) => [name, null]));
    const response = await running.post('/v1/completions', { model: 'tiny', prompt: 'a', ...nulls });
    expect(response.status).toBe(200);
  });

  it('takes lists of prompts and token ids, choices in order', async () => {
    const texts = await running.client().completions.create({ model: 'tiny', prompt: ['a', 'b'], n: 2 });
    expect(texts.choices.map(({ index, text }) => [index, text])).toEqual([
      [0, 'A!'],
      [1, 'A!'],
      [2, 'B!'],
      [3, 'B!'],
    ]);
    // A prompt counts once, however many choices continue it.
    expect(texts.usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 8 });
    const ids = await running.client().completions.create({ model: 'tiny', prompt: [104, 105] });
    expect(ids.choices[0]!.text).toBe('HI!');
    const lists = await running.client().completions.create({ model: 'tiny', prompt: [[104], [105]] });
    expect(lists.choices.map(({ text }) => text)).toEqual(['H!', 'I!']);
  });

  it('echoes the prompt, streaming or not', async () => {
    const whole = await running.client().completions.create({ model: 'tiny', prompt: 'hi ', echo: true });
    expect(whole.choices[0]!.text).toBe('hi HI !');
    let text = '';
    const stream = await running
      .client()
      .completions.create({ model: 'tiny', prompt: 'hi ', echo: true, stream: true });
    for await (const chunk of stream) text += chunk.choices[0]!.text;
    expect(text).toBe('hi HI !');
  });

  it('ends at stop strings and at max_tokens', async () => {
    const stopped = await running.client().completions.create({ model: 'tiny', prompt: 'one two', stop: 'TW' });
    expect(stopped.choices[0]).toMatchObject({ text: 'ONE ', finish_reason: 'stop' });
    const cut = await running.client().completions.create({ model: 'tiny', prompt: 'one two', max_tokens: 3 });
    expect(cut.choices[0]).toMatchObject({ text: 'ONE', finish_reason: 'length' });
  });

  it('gives log probabilities with offsets', async () => {
    const { choices } = await running.client().completions.create({ model: 'tiny', prompt: 'aé', logprobs: 2 });
    expect(choices[0]!.logprobs).toEqual({
      tokens: ['A', 'É', '!'],
      token_logprobs: [-0.5, -0.5, -0.5],
      top_logprobs: [
        { A: -0.5, B: -1.5 },
        { É: -0.5, Ê: -1.5 },
        { '!': -0.5, '"': -1.5 },
      ],
      text_offset: [0, 1, 2],
    });
  });

  it('gives log probabilities of the prompt with echo, all but those of its first token', async () => {
    const { choices, usage } = await running
      .client()
      .completions.create({ model: 'tiny', prompt: ['aé', 'b'], echo: true, logprobs: 1, max_tokens: 1 });
    expect(choices[0]).toMatchObject({ text: 'aéA', finish_reason: 'length' });
    expect(choices[0]!.logprobs).toEqual({
      tokens: ['a', 'é', 'A'],
      token_logprobs: [null, -2, -0.5],
      top_logprobs: [null, { ê: -0.25, é: -2 }, { A: -0.5 }],
      text_offset: [0, 1, 2],
    });
    expect(choices[1]!.logprobs).toMatchObject({ tokens: ['b', 'B'], token_logprobs: [null, -0.5] });
    expect(usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 2 });
    const alone = await running
      .client()
      .completions.create({ model: 'tiny', prompt: 'aé', echo: true, logprobs: 0, max_tokens: 0 });
    expect(alone.choices[0]).toMatchObject({ text: 'aé', logprobs: { tokens: ['a', 'é'], top_logprobs: null } });
    expect(alone.usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 0 });
  });

  it('refuses to score prompts where the model cannot', async () => {
    await using plain = await startServer({ scoresTexts: false });
    const response = await plain.post('/v1/completions', { model: 'tiny', prompt: 'ab', echo: true, logprobs: 1 });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param: 'echo', code: 'unsupported_parameter' } });
  });

  it('streams chunks, the finish reason and the usage', async () => {
    const stream = await running.client().completions.create({
      model: 'tiny',
      prompt: 'ab',
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks.map((chunk) => chunk.choices[0]?.text)).toEqual(['A', 'B', '!', '', undefined]);
    expect(chunks.at(-2)!.choices[0]!.finish_reason).toBe('stop');
    expect(chunks.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
    expect(chunks.at(-1)!.usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 3 });
    expect(new Set(chunks.map((chunk) => chunk.id)).size).toBe(1);
  });

  it('uses the begin token for an empty prompt', async () => {
    await running.client().completions.create({ model: 'tiny', prompt: '' });
    expect(Array.from(lastRequest().promptTokens)).toEqual([2]);
  });
});

describe('completions that are refused', () => {
  const cases: [
    name: string,
    body: object,
    status: number,
    code: string | null,
    param: string | null,
    message: RegExp,
  ][] = [
    ['a suffix', { suffix: 'x' }, 400, 'unsupported_parameter', 'suffix', /only continue/],
    ['best_of', { best_of: 3 }, 400, 'unsupported_parameter', 'best_of', /n choices/],
    [
      'echo with logprobs as a stream',
      { echo: true, logprobs: 1, stream: true },
      400,
      'unsupported_parameter',
      'stream',
      /not streamed/,
    ],
    ['no new token without scores', { max_tokens: 0, echo: true }, 400, null, 'max_tokens', /echo and logprobs/],
    ['a wrong type', { temperature: 'hot' }, 400, null, 'temperature', /expected number/],
    ['a value out of range', { top_p: 2 }, 400, null, 'top_p', /1/],
    ['a prompt of no known form', { prompt: { a: 1 } }, 400, null, 'prompt', /a string, a list of strings/],
    [
      'stream_options without stream',
      { stream_options: { include_usage: true } },
      400,
      null,
      'stream_options',
      /stream is true/,
    ],
    ['too many choices', { n: 100, prompt: ['a', 'b'] }, 400, null, 'n', /at most 128/],
    ['a token outside the vocabulary', { prompt: [9_999_999] }, 400, null, 'prompt', /vocabulary ends/],
    [
      'a prompt that is too long',
      { prompt: 'x'.repeat(1024) },
      400,
      'context_length_exceeded',
      'prompt',
      /maximum context length/,
    ],
    [
      'a prompt that cannot fit, before it is encoded',
      { prompt: 'x'.repeat(100_000) },
      400,
      'context_length_exceeded',
      'prompt',
      /has at least 100000 tokens/,
    ],
    [
      'too many tokens asked',
      { prompt: 'x'.repeat(1000), max_tokens: 25 },
      400,
      'context_length_exceeded',
      'prompt',
      /1025 tokens/,
    ],
    ['an unknown model', { model: 'gpt-4' }, 404, 'model_not_found', 'model', /tiny, org\/adapter/],
  ];

  it.each(cases)('%s', async (_, body, status, code, param, message) => {
    const response = await running.post('/v1/completions', { model: 'tiny', prompt: 'a', ...body });
    expect(response.status).toBe(status);
    const { error } = (await response.json()) as { error: Record<string, unknown> };
    expect(Object.keys(error).sort()).toEqual(['code', 'message', 'param', 'type']);
    expect(error).toMatchObject({ type: 'invalid_request_error', code, param });
    expect(error.message).toMatch(message);
  });

  it('fits the default length into what the context leaves', async () => {
    const response = await running.post('/v1/completions', { model: 'tiny', prompt: 'x'.repeat(1000) });
    expect(response.status).toBe(200);
    expect(lastRequest().maxTokens).toBe(24);
  });
});
