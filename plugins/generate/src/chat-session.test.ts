import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ScriptedModel } from '../test/scripted-model.js';
import { type ChatSessionOptions, runChatSession } from './chat-session.js';
import { complete } from './completion.js';

const sampling = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
};

function session(model: ScriptedModel, options: Partial<ChatSessionOptions> = {}) {
  const streams = { input: new PassThrough(), output: new PassThrough(), notices: new PassThrough() };
  const ended = runChatSession({
    model,
    sampling,
    maxTokens: 50,
    interactive: false,
    signal: new AbortController().signal,
    ...streams,
    ...options,
  });
  return { ...streams, ended, read: (stream: PassThrough) => String(stream.read() ?? '') };
}

describe('a chat from a pipe', () => {
  it('answers each line, with the conversation so far', async () => {
    const model = new ScriptedModel((prompt) => `${prompt.match(/<user>/g)!.length}`);
    const chat = session(model, { system: 'be brief' });
    chat.input.end('one\n\ntwo\n');
    await chat.ended;
    expect(chat.read(chat.output)).toBe('1\n2\n');
    expect(model.prompts).toEqual([
      '<system>be brief<user>one<assistant>',
      '<system>be brief<user>one<assistant>1<user>two<assistant>',
    ]);
    expect(chat.read(chat.notices)).toBe('');
  });

  it('knows its commands', async () => {
    const model = new ScriptedModel(() => 'ok');
    const chat = session(model);
    chat.input.end('a\n/reset\nb\n/system be kind\nc\n/system\nd\n/nonsense\n/exit\nnever\n');
    await chat.ended;
    expect(model.prompts).toEqual([
      '<user>a<assistant>',
      '<user>b<assistant>',
      '<system>be kind<user>c<assistant>',
      '<user>d<assistant>',
    ]);
    const notices = chat.read(chat.notices);
    expect(notices).toContain('There is no command /nonsense');
    expect(notices).toContain('System message removed');
  });

  it('forgets the oldest turns when the context is full, never the system message', async () => {
    const model = new ScriptedModel(() => 'yes', 120);
    const chat = session(model, { system: 'S', maxTokens: 20 });
    chat.input.end(`${'a'.repeat(30)}\n${'b'.repeat(30)}\n${'c'.repeat(30)}\n`);
    await chat.ended;
    expect(model.prompts.at(-1)).toBe(`<system>S<user>${'c'.repeat(30)}<assistant>`);
    expect(chat.read(chat.notices)).toContain('oldest 1 turns were forgotten');
  });

  it('refuses a message that alone is too long, and goes on', async () => {
    const model = new ScriptedModel(() => 'yes', 60);
    const chat = session(model);
    chat.input.end(`${'a'.repeat(60)}\nshort\n`);
    await chat.ended;
    expect(model.prompts).toEqual(['<user>short<assistant>']);
    expect(chat.read(chat.notices)).toMatch(/has 77 tokens; the model's context holds 60/);
  });

  it('ends with an error when the model fails', async () => {
    const chat = session(
      new ScriptedModel(() => {
        throw new Error('device lost');
      }),
    );
    chat.input.end('hi\n');
    await expect(chat.ended).rejects.toThrow('device lost');
  });
});

describe('a chat at a terminal', () => {
  it('stops an answer at Ctrl-C and keeps what was said, then goes on', async () => {
    const model = new ScriptedModel((prompt) => (prompt.includes('<user>again') ? 'fine' : 'x'.repeat(1000)), 5000, 5);
    const chat = session(model, { interactive: true, maxTokens: 1000 });
    chat.input.write('go\n');
    await sleep(100);
    chat.input.write('\x03');
    await sleep(50);
    chat.input.write('again\n');
    await sleep(150);
    chat.input.write('/exit\n');
    await chat.ended;
    expect(model.cancelled).toBe(1);
    expect(model.prompts[1]).toMatch(/^<user>go<assistant>x{3,500}<user>again<assistant>$/);
    expect(chat.read(chat.output)).toContain('fine');
  });

  it('leaves at Ctrl-C when nothing is being said, and when the program ends', async () => {
    const idle = session(new ScriptedModel(() => ''), { interactive: true });
    await sleep(20);
    idle.input.write('\x03');
    await idle.ended;
    const abort = new AbortController();
    const model = new ScriptedModel(() => 'x'.repeat(1000), 5000, 5);
    const chat = session(model, { interactive: true, signal: abort.signal, maxTokens: 1000 });
    chat.input.write('go\n');
    await sleep(50);
    abort.abort();
    await chat.ended;
    expect(model.cancelled).toBe(1);
  });

  it('shows a failure and goes on', async () => {
    let calls = 0;
    const model = new ScriptedModel(() => {
      if (calls++ === 0) throw new Error('out of memory');
      return 'better';
    });
    const chat = session(model, { interactive: true });
    chat.input.write('a\n');
    await sleep(50);
    chat.input.write('b\n/exit\n');
    await chat.ended;
    expect(chat.read(chat.notices)).toContain('out of memory');
    expect(model.prompts.at(-1)).toBe('<user>b<assistant>');
  });
});

describe('a completion', () => {
  it('gives text, reason and usage, and the pieces on the way', async () => {
    const pieces: string[] = [];
    const result = await complete({
      model: new ScriptedModel((prompt) => prompt.toUpperCase()),
      prompt: 'abc',
      sampling,
      maxTokens: 2,
      stop: [],
      signal: new AbortController().signal,
      onText: (text) => pieces.push(text),
    });
    expect(result).toMatchObject({
      text: 'AB',
      finishReason: 'length',
      usage: { promptTokens: 3, completionTokens: 2 },
    });
    expect(pieces).toEqual(['A', 'B']);
  });

  it('starts an empty prompt from the end token, and fits into the context', async () => {
    const model = new ScriptedModel(() => 'xyz', 3);
    const result = await complete({
      model,
      prompt: '',
      sampling,
      maxTokens: 100,
      stop: [],
      signal: new AbortController().signal,
    });
    expect(model.prompts).toEqual(['\x03']);
    expect(result.text).toBe('xy');
  });
});
