import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CommandContext, loadConfig } from '@largeforge/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { collectAnswers, initCommand } from './init-command.js';
import { initConfig, pathInConfig } from './init-config.js';
import { sftOptions } from './options.js';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'largeforge-init-'));
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(cwd, { recursive: true });
});

const init = (options: Record<string, unknown>, file = 'largeforge.config.yaml') => {
  const context = { cwd, signal: new AbortController().signal } as CommandContext;
  return initCommand.run({ options: { yes: true, ...options }, positionals: [file] }, context);
};

describe('largeforge init', () => {
  it.each(['lora', 'full'] as const)('writes a config that the program takes (%s)', async (method) => {
    await init({ model: 'org/name', data: "it's.jsonl", method });
    const config = await loadConfig({ cwd, env: {} });
    const [tune, merge] = config.root.pipeline;
    const options = sftOptions.parse(tune!.with);
    expect(options).toMatchObject({ model: 'org/name', full: method === 'full', dataset: { paths: ["./it's.jsonl"] } });
    expect(options.outputDir).toBe(method === 'full' ? './output/model' : './output/adapter');
    expect(merge?.with.adapter).toBe(method === 'full' ? undefined : '${steps.tune.adapter}');
    const text = readFileSync(config.file!, 'utf8');
    expect(text.match(/#/g)!.length).toBeGreaterThan(8);
  });

  it('does not write over a config without --force', async () => {
    const flags = { model: './base', data: 'a.jsonl' };
    await init(flags);
    await expect(init({ ...flags, data: 'b.jsonl' })).rejects.toMatchObject({ code: 'LF_INIT_EXISTS', exitCode: 2 });
    expect(readFileSync(join(cwd, 'largeforge.config.yaml'), 'utf8')).toContain('a.jsonl');
    await init({ ...flags, data: 'b.jsonl', force: true });
    expect(readFileSync(join(cwd, 'largeforge.config.yaml'), 'utf8')).toContain('b.jsonl');
  });

  it('says where it cannot write, and what is not given', async () => {
    await init({ model: 'm', data: 'd' }, 'file');
    await expect(init({ model: 'm', data: 'd' }, 'file/config.yaml')).rejects.toMatchObject({ code: 'LF_INIT_WRITE' });
    await expect(init({ model: 'm' })).rejects.toThrow('--data is not given, and there is no terminal to ask at');
  });

  it('asks for what the flags do not say', async () => {
    const asked: string[] = [];
    const ask = async (question: string) => {
      asked.push(question);
      return ['d.jsonl', 'full', ''][asked.length - 1]!;
    };
    const answers = await collectAnswers({ model: 'm' }, ask);
    expect(answers).toEqual({ model: 'm', data: 'd.jsonl', method: 'full', output: './output' });
    expect(asked).toHaveLength(3);
  });

  it('writes paths as the folder of the config sees them, and texts as they are', () => {
    expect(pathInConfig('data/x.jsonl', '/w', 'configs/a.yaml')).toBe('../data/x.jsonl');
    expect(pathInConfig('/data/x', '/w', 'a.yaml')).toBe('/data/x');

    expect(initConfig({ model: '${x}', data: 'd', method: 'full', output: 'o/' })).toContain("model: '$${x}'");
  });
});
