import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import { Application } from '@largeforge/core';
import generate from '@largeforge/generate';
import serverOpenai from '@largeforge/server-openai';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';

const base = fileURLToPath(new URL('../examples/quickstart/base', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'largeforge-structured-'));
const stop = new AbortController();
let application: Application;
let serving: Promise<unknown>;
let client: OpenAI;

beforeAll(async () => {
  application = await Application.boot({
    cwd: folder,
    env: {},
    logLevel: 'silent',
    builtIn: { plugins: [backendCpu, generate, serverOpenai], backend: { name: 'cpu', threads: 1 } },
    signal: stop.signal,
  });
  const url = new Promise<string>((resolve) => {
    application.events.on('message', ({ fields }) => {
      if (fields?.url) resolve(String(fields.url));
    });
  });
  const options = { model: { path: base, id: 'base' }, port: 0 };
  serving = application.commandContext().runSteps([{ name: 'serve', stage: 'serve', use: 'openai', with: options }]);
  serving.catch(() => {});
  client = new OpenAI({ baseURL: `${await Promise.race([url, serving.then(() => '')])}/v1`, apiKey: 'none' });
});
afterAll(async () => {
  stop.abort(new Error('the test is over'));
  await serving.catch(() => {});
  await application.close();
  rmSync(folder, { recursive: true });
});

const messages = [{ role: 'user', content: 'turn on the lamp in the kitchen' }] as const;

/** What a model says that knows nothing of the form, at a temperature at which it would say anything. */
const ask = (more: object, seed = 0) =>
  client.chat.completions.create({
    model: 'base',
    messages: [...messages],
    temperature: 1.5,
    seed,
    max_completion_tokens: 400,
    ...more,
  });

const device = z.object({
  room: z.enum(['kitchen', 'hall']),
  on: z.boolean(),
  level: z.int().min(0).max(9),
  tags: z.array(z.enum(['a', 'b'])).max(3),
});

describe('an answer of a model that is held to a form', () => {
  it.each([1, 2, 3])('follows a JSON schema: seed %i', async (seed) => {
    const schema = z.toJSONSchema(device);
    const { choices } = await ask(
      { response_format: { type: 'json_schema', json_schema: { name: 'device', schema } } },
      seed,
    );
    expect(choices[0]?.finish_reason).toBe('stop');
    device.parse(JSON.parse(choices[0]?.message.content as string));
  });

  it('follows a regular expression, and is one of some choices', async () => {
    const date = await ask({ structured_outputs: { regex: '20[0-9]{2}-(0[1-9]|1[0-2])' } });
    expect(date.choices[0]?.message.content).toMatch(/^20\d\d-(0[1-9]|1[0-2])$/);
    const chosen = await ask({ structured_outputs: { choice: ['lamp', 'heizung', 'Tür'] } });
    expect(['lamp', 'heizung', 'Tür']).toContain(chosen.choices[0]?.message.content);
  });

  it('follows a grammar in every stream of a batch', async () => {
    const grammar = 'root ::= "<" digit ("," digit)* ">"\ndigit ::= [0-9]';
    const { choices } = await ask({ structured_outputs: { grammar }, n: 4 });
    for (const { message, finish_reason: reason } of choices) {
      if (reason === 'stop') expect(message.content).toMatch(/^<\d(,\d)*>$/);
      else expect(message.content).toMatch(/^<\d(,\d)*,?$/);
    }
  });

  it('is a call of the function that was named, with arguments of its schema', async () => {
    const parameters = z.toJSONSchema(device);
    const tools = [{ type: 'function', function: { name: 'switch', parameters } }];
    const { choices } = await ask({ tools, tool_choice: { type: 'function', function: { name: 'switch' } } });
    const [call] = choices[0]?.message.tool_calls ?? [];
    if (call?.type !== 'function') throw new Error('nothing was called');
    expect(call.function.name).toBe('switch');
    device.parse(JSON.parse(call.function.arguments));
  });

  it('is refused, with the reason, where the form makes no sense', async () => {
    await expect(ask({ structured_outputs: { regex: '(' } })).rejects.toMatchObject({
      status: 400,
      code: 'invalid_format',
      param: 'structured_outputs.regex',
    });
    const schema = { type: 'nonsense' };
    await expect(
      ask({ response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } }),
    ).rejects.toMatchObject({ status: 400, param: 'response_format' });
  });
});
