import { APIError } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningServer, startServer } from '../../test/running-server.js';
import { ScriptedModel } from '../../test/scripted-models.js';

let running: RunningServer;
beforeAll(async () => {
  running = await startServer({ reply: () => 'Hello!' });
  running.host.models.set('no-template', new ScriptedModel('no-template', { chatTemplate: null }));
});
afterAll(() => running[Symbol.asyncDispose]());

const messages = [{ role: 'user' as const, content: 'hi' }];
const lastPrompt = () => running.model.tokenizer.decode(running.model.requests.at(-1)!.promptTokens);

/** The raw events of a streamed answer. */
async function events(body: object): Promise<string[]> {
  const response = await running.post('/v1/chat/completions', { model: 'tiny', messages, stream: true, ...body });
  expect(response.headers.get('content-type')).toContain('text/event-stream');
  return (await response.text()).split('\n\n').filter(Boolean);
}

describe('chat completions with the openai client', () => {
  it('answers a conversation rendered by the chat template', async () => {
    const answer = await running.client().chat.completions.create({
      model: 'tiny',
      messages: [
        { role: 'developer', content: 'be brief' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'one ' },
            { type: 'text', text: 'two' },
          ],
        },
        { role: 'assistant', content: null },
        ...messages,
      ],
    });
    expect(lastPrompt()).toBe('<system>be brief<user>one two<assistant><user>hi<assistant>');
    expect(answer.object).toBe('chat.completion');
    expect(answer.id).toMatch(/^chatcmpl-/);
    expect(answer.choices).toEqual([
      {
        index: 0,
        message: { role: 'assistant', content: 'Hello!', refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
    ]);
    expect(answer.usage).toMatchObject({ completion_tokens: 6, prompt_tokens_details: { cached_tokens: 1 } });
  });

  it('applies the defaults of SyRS 6.1.1', async () => {
    await running.client().chat.completions.create({ model: 'tiny', messages });
    const request = running.model.requests.at(-1)!;
    expect(request.maxTokens).toBe(256);
    expect(request.sampling).toMatchObject({ temperature: 0.7, topP: 0.9, topK: 50 });
  });

  it('prefers max_completion_tokens to max_tokens', async () => {
    const answer = await running
      .client()
      .chat.completions.create({ model: 'tiny', messages, max_tokens: 5, max_completion_tokens: 2 });
    expect(answer.choices[0]).toMatchObject({ message: { content: 'He' }, finish_reason: 'length' });
  });

  it('gives log probabilities with bytes', async () => {
    const answer = await running
      .client()
      .chat.completions.create({ model: 'tiny', messages, max_tokens: 1, logprobs: true, top_logprobs: 2 });
    expect(answer.choices[0]!.logprobs!.content).toEqual([
      {
        token: 'H',
        logprob: -0.5,
        bytes: [72],
        top_logprobs: [
          { token: 'H', logprob: -0.5, bytes: [72] },
          { token: 'I', logprob: -1.5, bytes: [73] },
        ],
      },
    ]);
  });

  it('streams through the client helper', async () => {
    const stream = running.client().chat.completions.stream({ model: 'tiny', messages, n: 2 });
    const answer = await stream.finalChatCompletion();
    expect(answer.choices.map(({ message }) => message.content)).toEqual(['Hello!', 'Hello!']);
  });

  it('sends role, deltas, finish reason, usage and [DONE], in this order', async () => {
    const frames = await events({ max_tokens: 2, stream_options: { include_usage: true } });
    expect(frames.at(-1)).toBe('data: [DONE]');
    const chunks = frames.slice(0, -1).map((frame) => JSON.parse(frame.slice('data: '.length)));
    expect(chunks.map(({ choices }) => choices[0]?.delta)).toEqual([
      { role: 'assistant', content: '' },
      { content: 'H' },
      { content: 'e' },
      {},
      undefined,
    ]);
    expect(chunks.map(({ choices }) => choices[0]?.finish_reason)).toEqual([null, null, null, 'length', undefined]);
    expect(chunks[4].usage).toMatchObject({ prompt_tokens: 19, completion_tokens: 2, total_tokens: 21 });
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  });

  it('sends no usage chunk unless asked', async () => {
    const frames = await events({});
    expect(frames.some((frame) => frame.includes('usage'))).toBe(false);
  });
});

describe('chat completions that are refused', () => {
  const cases: [name: string, body: object, code: string | null, param: string | null, message: RegExp][] = [
    [
      'an image',
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] },
      null,
      'messages[0].content',
      /text/,
    ],
    ['an unknown role', { messages: [{ role: 'judge', content: 'x' }] }, null, 'messages[0].role', /"system"/],
    ['no messages', { messages: [] }, null, 'messages', /1/],
    [
      'messages that the template refuses',
      { messages: [{ role: 'user', content: 'refuse me' }] },
      null,
      'messages',
      /roles must alternate/,
    ],
    ['a model without a template', { model: 'no-template' }, 'no_chat_template', 'model', /v1\/completions/],
    ['a tool without a function', { tools: [{ type: 'function' }] }, null, 'tools[0].function', /object/],
    ['a tool that is no function', { tools: [{ type: 'web_search' }] }, null, 'tools[0].type', /only functions/],
    ['functions', { functions: [{ name: 'f' }] }, 'unsupported_parameter', 'functions', /not supported/],
    ['audio', { modalities: ['text', 'audio'] }, 'unsupported_parameter', 'modalities', /audio/],
    ['top_logprobs alone', { top_logprobs: 2 }, null, 'top_logprobs', /logprobs: true/],
    [
      'too long a conversation',
      { messages: [{ role: 'user', content: 'x'.repeat(2000) }] },
      'context_length_exceeded',
      'messages',
      /maximum context length is 1024/,
    ],
  ];

  it.each(cases)('%s', async (_, body, code, param, message) => {
    const response = await running.post('/v1/chat/completions', { model: 'tiny', messages, ...body });
    const { error } = (await response.json()) as { error: Record<string, unknown> };
    expect({ status: response.status, ...error }).toMatchObject({ status: 400, code, param });
    expect(error.message).toMatch(message);
  });

  it('reaches the client as its own error class', async () => {
    const error = await running
      .client()
      .chat.completions.create({ model: 'nope', messages })
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(APIError);
    expect(error).toMatchObject({ status: 404, code: 'model_not_found', param: 'model' });
    expect((error as APIError).requestID).toMatch(/^req_/);
  });

  it('tolerates tools when they are switched off, and fields it does not know', async () => {
    const response = await running.post('/v1/chat/completions', {
      model: 'tiny',
      messages,
      tools: [{ type: 'function', function: { name: 'f' } }],
      tool_choice: 'none',
      response_format: { type: 'text' },
      reasoning_effort: 'low',
      store: false,
    });
    expect(response.status).toBe(200);
    const ignored = running.log.find('request fields ignored').at(-1);
    expect(ignored!.fields).toEqual(['reasoning_effort', 'store']);
  });
});
