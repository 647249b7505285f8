import { describe, expect, test } from 'vitest';
import type { AggregateSettings } from '../experts/expert-settings.js';
import { expertSchema } from '../experts/expert-settings.js';
import { type ExpertCall, ExpertFailure } from '../serving/attempt.js';
import { aggregate } from './aggregate.js';
import { candidatesOf, voteOf } from './answers.js';
import { elected, likeliest } from './decide.js';

const chat = (content: string, probability: number, index = 0) => ({
  index,
  message: { role: 'assistant', content },
  logprobs: { content: [{ logprob: Math.log(probability) }, { logprob: Math.log(probability) }] },
  finish_reason: 'stop',
});
const plain = (content: string) => ({ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' });
const answer = (...choices: object[]) => ({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'm',
  choices,
  usage: { prompt_tokens: 10, completion_tokens: 2, total_tokens: 12 },
});

/** Asks scripted members; remembers who was asked with what. */
async function run(
  settings: AggregateSettings,
  members: Readonly<Record<string, object | Error | { status: number; body: object }>>,
  body: Record<string, unknown> = {},
  path = '/chat/completions',
) {
  const asked: [string, Readonly<Record<string, unknown>>][] = [];
  const call: ExpertCall = { path, body, requestId: 'r', ownUrl: '', signal: new AbortController().signal };
  const result = aggregate('both', settings, call, async (name, { body: sent }) => {
    asked.push([name, sent]);
    const member = members[name]!;
    if (member instanceof Error) throw member;
    if ('status' in member) return { kind: 'body', ...(member as { status: number; body: Record<string, unknown> }) };
    return { kind: 'body', status: 200, body: member as Record<string, unknown> };
  });
  return { result: await result, asked };
}

const bodyOf = ({ result }: Awaited<ReturnType<typeof run>>) => {
  if (result.kind !== 'body') throw new Error('a stream');
  return result.body as unknown as {
    model: string;
    choices: ReturnType<typeof chat>[];
    usage: object;
    aggregation: object;
  };
};
const cascade = { method: 'cascade', members: ['small', 'large'], confidence: 0.8 } as const;
const vote = (weights: 'equal' | 'confidence') => ({ method: 'vote' as const, members: ['a', 'b', 'c'], weights });

describe('a cascade', () => {
  test('believes a small model that is sure, and asks no other', async () => {
    const found = await run(cascade, { small: answer(chat('yes', 0.9)), large: answer(chat('no', 1)) });
    expect(found.asked.map(([name]) => name)).toEqual(['small']);
    expect(bodyOf(found)).toMatchObject({ model: 'both', choices: [{ message: { content: 'yes' } }] });
  });
  test('asks the larger one when it is unsure, and counts the tokens of both', async () => {
    const found = await run(cascade, { small: answer(chat('yes', 0.5)), large: answer(chat('no', 0.3)) });
    expect(bodyOf(found)).toMatchObject({
      choices: [{ message: { content: 'no' } }],
      usage: { prompt_tokens: 20, completion_tokens: 4, total_tokens: 24 },
      aggregation: { method: 'cascade', expert: 'large', asked: [{ expert: 'small' }, { expert: 'large' }] },
    });
  });
  test('keeps the unsure answer when the larger one fails', async () => {
    const found = await run(cascade, { small: answer(chat('yes', 0.5)), large: new ExpertFailure('large', 'gone') });
    expect(bodyOf(found).choices[0]!.message.content).toBe('yes');
  });
  test('fails, and so lets others answer, when all of them fail', async () => {
    const gone = (name: string) => new ExpertFailure(name, 'gone');
    await expect(run(cascade, { small: gone('small'), large: gone('large') })).rejects.toThrow(
      'none of its members answered (small: gone; large: gone)',
    );
  });
  test('does not hide what is wrong with the request', async () => {
    const wrong = { status: 400, body: { error: { message: 'too long' } } };
    expect((await run(cascade, { small: wrong, large: wrong })).result).toMatchObject({ kind: 'body', ...wrong });
  });
  test('asks again without probabilities whoever refuses to give them, and takes the answer for unsure', async () => {
    const asked: unknown[] = [];
    const call = {
      path: '/chat/completions',
      body: {},
      requestId: 'r',
      ownUrl: '',
      signal: new AbortController().signal,
    };
    const result = await aggregate('both', cascade, call, async (name, { body }) => {
      asked.push([name, 'logprobs' in body]);
      if (name === 'small' && body.logprobs)
        return { kind: 'body', status: 400, body: { error: { message: 'no logprobs' } } };
      return { kind: 'body', status: 200, body: answer(name === 'small' ? plain('yes') : chat('no', 0.9)) };
    });
    expect(asked).toEqual([
      ['small', true],
      ['small', false],
      ['large', true],
    ]);
    expect(result).toMatchObject({ body: { choices: [{ message: { content: 'no' } }] } });
  });
  test('asks members for whole answers with probabilities, and gives these away only when asked to', async () => {
    const members = { small: answer(chat('yes', 0.9)), large: answer(chat('no', 1)) };
    const plain = await run(cascade, members, { stream: false, stream_options: {}, temperature: 0 });
    expect(plain.asked[0]![1]).toEqual({ logprobs: true, temperature: 0 });
    expect(bodyOf(plain).choices[0]!.logprobs).toBeNull();
    expect(bodyOf(await run(cascade, members, { logprobs: true })).choices[0]!.logprobs.content).toHaveLength(2);
  });
  test('streams what holds, in the form that clients know', async () => {
    const body = { stream: true, stream_options: { include_usage: true } };
    const { result } = await run(cascade, { small: answer(chat('yes', 0.9)), large: answer() }, body);
    if (result.kind !== 'stream') throw new Error('no stream');
    const events: string[] = [];
    for await (const event of result.events) events.push(event);
    const [said, end, usage] = events.slice(0, 3).map((event) => JSON.parse(event));
    expect(said).toMatchObject({
      object: 'chat.completion.chunk',
      model: 'both',
      choices: [{ delta: { role: 'assistant', content: 'yes' }, finish_reason: null }],
    });
    expect(end.choices[0]).toMatchObject({ delta: {}, finish_reason: 'stop' });
    expect(usage).toMatchObject({ choices: [], usage: { total_tokens: 12 } });
    expect(events[3]).toBe('[DONE]');
  });
  test('refuses several answers', async () => {
    const { result, asked } = await run(cascade, {}, { n: 2 });
    expect(result).toMatchObject({ status: 400, body: { error: { param: 'n' } } });
    expect(asked).toEqual([]);
  });
});

describe('a vote', () => {
  const members = {
    a: answer(chat('Paris.', 0.5)),
    b: answer(chat(' paris ', 0.6)),
    c: answer(chat('Lyon', 0.99)),
  };
  test('gives the answer of most, in the words of the surest of them', async () => {
    expect(bodyOf(await run(vote('equal'), members)).choices[0]!.message.content).toBe(' paris ');
  });
  test('weighs votes by their confidence', async () => {
    expect(bodyOf(await run(vote('confidence'), members)).choices[0]!.message.content).toBe(' paris ');
    const unsure = { ...members, a: answer(chat('Paris', 0.2)) };
    expect(bodyOf(await run(vote('confidence'), unsure)).choices[0]!.message.content).toBe('Lyon');
    expect(bodyOf(await run(vote('equal'), unsure)).choices[0]!.message.content).toBe(' paris ');
  });
  test('goes on without a member that fails', async () => {
    const found = await run(vote('equal'), { ...members, b: new ExpertFailure('b', 'gone') });
    // One vote each: the surer one.
    expect(bodyOf(found).choices[0]!.message.content).toBe('Lyon');
  });
  test('counts tool calls with equal arguments as equal, whatever their ids', () => {
    const call = (id: string, text: string) => {
      const choice = { message: { tool_calls: [{ id, function: { name: 'f', arguments: text } }] } };
      return candidatesOf('a', { choices: [choice] })[0]!;
    };
    expect(voteOf(call('1', '{}'))).toBe(voteOf(call('2', '{}')));
    expect(voteOf(call('1', '{}'))).not.toBe(voteOf(call('1', '{"a":1}')));
  });
  test('of nobody elects nobody', () => {
    expect(elected([], 'equal')).toBeUndefined();
    expect(likeliest([])).toBeUndefined();
  });
});

test('best of n takes the likeliest of all samples, and counts the prompt of each member once', async () => {
  const settings = { method: 'best-of-n', members: ['a', 'b'], n: 2 } as const;
  const members = {
    a: answer(chat('one', 0.2), chat('two', 0.7, 1)),
    b: answer(chat('three', 0.6), chat('four', 0.1, 1)),
  };
  const found = await run(settings, members);
  expect(found.asked.map(([, { n }]) => n)).toEqual([2, 2]);
  expect(bodyOf(found)).toMatchObject({
    choices: [{ index: 0, message: { content: 'two' } }],
    usage: { prompt_tokens: 20 },
    aggregation: { expert: 'a' },
  });
});

test('completions are read alike', async () => {
  const text = (value: string, logprob: number) => ({
    object: 'text_completion',
    choices: [{ index: 0, text: value, logprobs: { token_logprobs: [null, logprob] }, finish_reason: 'stop' }],
  });
  const members = { small: text('yes', -2), large: text('no', -1) };
  const found = await run(cascade, members, { stream: true }, '/completions');
  expect(found.asked[0]![1]).toEqual({ logprobs: 1 });
  if (found.result.kind !== 'stream') throw new Error('no stream');
  const { value: first } = await found.result.events[Symbol.asyncIterator]().next();
  expect(JSON.parse(first as string)).toMatchObject({ object: 'text_completion', choices: [{ text: 'no' }] });
});

test('an expert that is made of others has no model, no url, and not itself', () => {
  const made = { name: 'both', aggregate: cascade };
  expect(expertSchema.safeParse(made).success).toBe(true);
  expect(expertSchema.safeParse({ ...made, model: 'x' }).success).toBe(false);
  expect(expertSchema.safeParse({ ...made, name: 'small' }).success).toBe(false);
});
