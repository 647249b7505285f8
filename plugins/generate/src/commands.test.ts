import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import { Application, type CommandContext, type CommandDefinition } from '@largeforge/core';
import { describe, expect, it } from 'vitest';
import { chatCommand, completeCommand, type Terminal } from './commands.js';
import { ModelHost } from './model-host.js';

const base = fileURLToPath(new URL('../../../examples/quickstart/base', import.meta.url));
const defaults = { maxTokens: 8, temperature: 0, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 };

type Command = (host: ModelHost, terminal: Terminal) => CommandDefinition<CommandContext>;

/** Runs a command on a real small model; gives what it wrote. */
async function run(command: Command, options: Record<string, unknown>, typed = '') {
  const terminal = { input: new PassThrough(), output: new PassThrough(), notices: new PassThrough() };
  terminal.input.end(typed);
  const application = await Application.boot({
    env: {},
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    logLevel: 'silent',
    builtIn: { plugins: ['@largeforge/backend-cpu'] },
    modules: { '@largeforge/backend-cpu': async () => backendCpu },
  });
  const host = new ModelHost(async () => ({ id: 'cpu', library: backendLibrary }));
  try {
    await command(host, terminal).run(
      { options: { model: base, ...defaults, ...options }, positionals: [] },
      application.commandContext(),
    );
  } finally {
    await host.close();
    await application.close();
  }
  return { output: String(terminal.output.read() ?? ''), notices: String(terminal.notices.read() ?? '') };
}

const backendLibrary = (await import('@largeforge/backend-cpu')).locateLibrary();

describe('largeforge complete', () => {
  it('continues a prompt, from a flag or from standard input, the same each time', async () => {
    const flag = await run(completeCommand, { prompt: 'the cat' });
    expect(flag.output.trim().length).toBeGreaterThan(0);
    expect(flag.notices).toMatch(/\d+ \+ \d+ tokens in [\d.]+ s, ended by (length|stop)/);
    expect((await run(completeCommand, {}, 'the cat\n')).output).toBe(flag.output);
    const seeded = { prompt: 'the cat', temperature: 2, seed: 3 };
    expect((await run(completeCommand, seeded)).output).toBe((await run(completeCommand, seeded)).output);
  });

  it('says when there is no such model', async () => {
    await expect(run(completeCommand, { model: './nowhere', prompt: 'x' })).rejects.toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^LF_ENGINE_/), remedy: expect.any(String) }),
    );
  });
});

describe('largeforge chat', () => {
  it('answers each line of standard input', async () => {
    const { output } = await run(chatCommand, {}, 'hello\n/exit\n');
    expect(output.endsWith('\n')).toBe(true);
    expect(output.length).toBeGreaterThan(1);
  });
});
