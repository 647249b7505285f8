import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type RunningServer, startServer } from '../../test/running-server.js';

const weather = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'The weather of a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
} as const;
const now = { type: 'function', function: { name: 'now' } } as const;
const messages = [{ role: 'user', content: 'How is Rome?' }] as const;
const call = (city: string) => `<tool_call>\n{"name": "weather", "arguments": {"city": "${city}"}}\n</tool_call>`;

let reply = '';
let running: RunningServer;
let client: OpenAI;
beforeAll(async () => {
  running = await startServer({ reply: () => reply });
  client = running.client();
});
afterAll(() => running[Symbol.asyncDispose]());
beforeEach(() => {
  running.model.requests.length = 0;
});
const prompt = () => running.model.tokenizer.decode(running.model.requests[0]!.promptTokens);
const create = (more: object) =>
  client.chat.completions.create({ model: 'tiny', messages: [...messages], tools: [weather, now], ...more });

describe('tool calls', () => {
  it('come with ids, names and arguments, several of them after text', async () => {
    reply = `Let me look.\n${call('Rome')}\n${call('Oslo')}`;
    const [choice] = (await create({})).choices;
    expect(choice).toMatchObject({ finish_reason: 'tool_calls', message: { content: 'Let me look.' } });
    const calls = choice!.message.tool_calls!;
    expect(calls.map((c) => c.type === 'function' && c.function)).toEqual([
      { name: 'weather', arguments: '{"city": "Rome"}' },
      { name: 'weather', arguments: '{"city": "Oslo"}' },
    ]);
    expect(new Set(calls.map(({ id }) => id)).size).toBe(2);
    expect(calls[0]!.id).toMatch(/^call_\w+$/);
  });

  it('stream as deltas that the official client puts together', async () => {
    reply = `${call('Rome')}\n${call('Oslo')}`;
    const stream = client.chat.completions.stream({ model: 'tiny', messages: [...messages], tools: [weather] });
    const pieces: string[] = [];
    stream.on('tool_calls.function.arguments.delta', ({ arguments_delta: delta }) => pieces.push(delta));
    const { choices } = await stream.finalChatCompletion();
    expect(choices[0]!.message.content).toBeNull();
    expect(choices[0]!.finish_reason).toBe('tool_calls');
    expect(choices[0]!.message.tool_calls!.map((c) => c.function.arguments)).toEqual([
      '{"city": "Rome"}',
      '{"city": "Oslo"}',
    ]);
    expect(pieces.length).toBeGreaterThan(10);
  });

  it('leave text alone when nothing is called, and content null when nothing else is said', async () => {
    reply = 'It is <b>warm</b>.';
    expect((await create({})).choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: reply } });
    reply = call('Rome');
    expect((await create({})).choices[0]!.message.content).toBeNull();
    expect((await create({ tool_choice: 'none' })).choices[0]!.message.content).toBe(reply);
  });

  it('go round with the official client: the call, its result, the answer', async () => {
    const asked: unknown[] = [];
    let turn = 0;
    await using other = await startServer({ reply: () => (turn++ === 0 ? call('Rome') : 'Sunny.') });
    const runner = other.client().chat.completions.runTools({
      model: 'tiny',
      messages: [...messages],
      tools: [
        {
          type: 'function',
          function: {
            ...weather.function,
            parse: JSON.parse,
            function: (args: unknown) => {
              asked.push(args);
              return 'sun';
            },
          },
        },
      ],
    });
    expect(await runner.finalContent()).toBe('Sunny.');
    expect(asked).toEqual([{ city: 'Rome' }]);
    const second = other.model.tokenizer.decode(other.model.requests[1]!.promptTokens);
    expect(second).toContain('<tool_call>\n{"name":"weather","arguments":{"city":"Rome"}}\n</tool_call>');
    expect(second).toContain('<user><tool_response>\nsun\n</tool_response>');
  });

  it('are asked for in the system message when the template knows of no tools', async () => {
    reply = 'x';
    await create({ messages: [{ role: 'system', content: 'Be brief.' }, ...messages] });
    expect(prompt()).toMatch(/^<system>Be brief\.\n\n# Tools\n/);
    expect(prompt()).toContain(JSON.stringify(weather));
    running.model.requests.length = 0;
    await create({ tool_choice: 'none' });
    expect(prompt()).not.toContain('# Tools');
  });

  it('are given to a template that knows of tools, which tells the format too', async () => {
    await using llama = await startServer({
      chatTemplate: '{{ tools }} Environment: ipython',
      reply: () => '{"name": "weather", "parameters": {"city": "Rome"}}',
    });
    const made = await llama
      .client()
      .chat.completions.create({ model: 'tiny', messages: [...messages], tools: [weather] });
    expect(made.choices[0]!.message.tool_calls).toMatchObject([
      { function: { name: 'weather', arguments: '{"city": "Rome"}' } },
    ]);
    expect(llama.model.offered).toEqual([weather]);
  });

  it.each([
    ['required', { tool_choice: 'required' }, 'tags_with_separator', false, ['weather', 'now']],
    [
      'one at most',
      { tool_choice: 'required', parallel_tool_calls: false },
      'tags_with_separator',
      true,
      ['weather', 'now'],
    ],
    ['named', { tool_choice: { type: 'function', function: { name: 'now' } } }, 'tags_with_separator', true, ['now']],
    [
      'strict',
      { tools: [{ ...weather, function: { ...weather.function, strict: true } }] },
      'triggered_tags',
      false,
      ['weather'],
    ],
  ])('hold the model to a grammar: %s', async (_what, more, type, first, names) => {
    reply = call('Rome');
    await create(more);
    const { format } = running.model.requests[0]! as { format: { kind: string; format: Record<string, unknown> } };
    expect(format).toMatchObject({ kind: 'structural-tag', format: { type, stop_after_first: first } });
    const tags = format.format.tags as { begin: string; end: string; content: object }[];
    expect(tags.map(({ begin }) => /"name": "(\w+)"/.exec(begin)![1])).toEqual(names);
  });

  it('end with "stop" when the request named the function', async () => {
    reply = call('Rome');
    const made = await create({ tool_choice: { type: 'function', function: { name: 'weather' } } });
    expect(made.choices[0]).toMatchObject({ finish_reason: 'stop', message: { tool_calls: [{ type: 'function' }] } });
  });

  it.each([
    ['tools[0].function.name', { tools: [{ type: 'function', function: { name: 'a b' } }] }],
    ['tools[0].type', { tools: [{ type: 'web_search' }] }],
    ['tools[1].function.name', { tools: [now, now] }],
    ['tool_choice', { tools: [], tool_choice: 'required' }],
    ['tool_choice', { tool_choice: 'sometimes' }],
    ['tool_choice.function.name', { tool_choice: { type: 'function', function: { name: 'rm' } } }],
    ['tool_choice', { tool_choice: 'required', response_format: { type: 'json_object' } }],
    [
      'messages[0].tool_calls[0].function.arguments',
      {
        messages: [
          { role: 'assistant', tool_calls: [{ id: 'a', type: 'function', function: { name: 'now', arguments: '{' } }] },
        ],
      },
    ],
  ])('name the wrong field %s', async (param, more) => {
    const error = await create(more).catch((thrown: unknown) => thrown as InstanceType<typeof OpenAI.BadRequestError>);
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect((error as { param?: string }).param).toBe(param);
  });
});

describe('a format', () => {
  const schema = {
    type: 'object',
    properties: { a: { type: 'integer' } },
    required: ['a'],
    additionalProperties: false,
  };
  const grammarOf = (ebnf: string) => ({ kind: 'grammar', ebnf });
  it.each([
    [
      { response_format: { type: 'json_object' } },
      { kind: 'json-schema', schema: { type: 'object', additionalProperties: true } },
    ],
    [{ response_format: { type: 'json_schema', json_schema: { name: 'a', schema } } }, { kind: 'json-schema', schema }],
    [{ structured_outputs: { json: schema } }, { kind: 'json-schema', schema }],
    [{ structured_outputs: { json: JSON.stringify(schema) } }, { kind: 'json-schema', schema }],
    [{ structured_outputs: { regex: '\\d+' } }, { kind: 'regex', pattern: '\\d+' }],
    [{ structured_outputs: { choice: ['a"b', 'c'] } }, grammarOf('root ::= "a\\"b" | "c"')],
    [{ structured_outputs: { grammar: 'root ::= "x"' } }, grammarOf('root ::= "x"')],
    [{ guided_json: schema }, { kind: 'json-schema', schema }],
    [{ guided_regex: 'a' }, { kind: 'regex', pattern: 'a' }],
    [{ guided_choice: ['a', 'b'] }, grammarOf('root ::= "a" | "b"')],
    [{ guided_grammar: 'root ::= "x"' }, grammarOf('root ::= "x"')],
    [{ response_format: { type: 'text' } }, undefined],
  ])('is passed on: %j', async (fields, format) => {
    reply = '{"a": 1}';
    const body = { model: 'tiny', messages, ...fields };
    const response = await running.post('/v1/chat/completions', body);
    expect([response.status, await response.text()]).toEqual([200, expect.any(String)]);
    expect(running.model.requests[0]!.format).toEqual(format);
    if ('response_format' in fields) return;
    const { messages: _, ...rest } = body;
    expect((await running.post('/v1/completions', { ...rest, prompt: 'x' })).status).toBe(200);
    expect(running.model.requests[1]!.format).toEqual(format);
  });

  it.each([
    ['response_format.type', { response_format: { type: 'xml' } }],
    ['response_format.json_schema', { response_format: { type: 'json_schema' } }],
    ['response_format.json_schema.schema', { response_format: { type: 'json_schema', json_schema: { name: 'a' } } }],
    [
      'response_format.json_schema.name',
      { response_format: { type: 'json_schema', json_schema: { name: 'a b', schema } } },
    ],
    ['guided_regex', { guided_regex: 'a', response_format: { type: 'json_object' } }],
    ['structured_outputs.regex', { structured_outputs: { regex: 'a', json: {} } }],
    ['structured_outputs', { structured_outputs: {} }],
    ['structured_outputs.choice', { structured_outputs: { choice: [] } }],
    ['guided_json', { guided_json: '{' }],
  ])('that is wrong is a 400 for %s', async (param, fields) => {
    const response = await running.post('/v1/chat/completions', { model: 'tiny', messages, ...fields });
    expect([response.status, await response.json()]).toMatchObject([400, { error: { param } }]);
  });

  it('that the engine cannot read is a 400 for the field that gave it', async () => {
    const error = Object.assign(new Error('the regex cannot be used: unbalanced'), { code: 'LF_ENGINE_GRAMMAR' });
    await using failing = await startServer({ failAt: { token: 0, error } });
    const response = await failing.post('/v1/chat/completions', { model: 'tiny', messages, guided_regex: '(' });
    expect([response.status, await response.json()]).toMatchObject([
      400,
      { error: { param: 'guided_regex', code: 'invalid_format', message: expect.stringContaining('unbalanced') } },
    ]);
  });

  it('is refused for a model that cannot be held to one', async () => {
    await using loose = await startServer({ constrains: false });
    const response = await loose.post('/v1/chat/completions', { model: 'tiny', messages, guided_regex: 'a' });
    expect([response.status, await response.json()]).toMatchObject([400, { error: { param: 'guided_regex' } }]);
  });
});
