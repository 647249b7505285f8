import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import { Application } from '@largeforge/core';
import evaluate from '@largeforge/evaluate';
import generate from '@largeforge/generate';
import serverOpenai from '@largeforge/server-openai';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const base = fileURLToPath(new URL('../examples/quickstart/base', import.meta.url));
const questions = ['turn on the lamp', 'wake me at seven', 'add milk to the list'];

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'largeforge-evaluate-server-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A program in a folder, and what ends it. */
async function boot(): Promise<{ application: Application; stop: AbortController }> {
  const stop = new AbortController();
  const plugins = [backendCpu, evaluate, generate, serverOpenai];
  const application = await Application.boot({
    cwd: folder,
    env: {},
    logLevel: 'silent',
    builtIn: { plugins, backend: { name: 'cpu', threads: 1 } },
    signal: stop.signal,
  });
  return { application, stop };
}

describe('a model that is served', () => {
  it('gives the answers that it gives when it is loaded for the evaluation', async () => {
    writeFileSync(
      join(folder, 'rows.jsonl'),
      questions.map((ask) => `${JSON.stringify({ ask, answer: 'x' })}\n`).join(''),
    );
    writeFileSync(
      join(folder, 'say.yaml'),
      'task: say\ndataset_path: json\ndataset_kwargs: {data_files: {test: rows.jsonl}}\ntest_split: test\n' +
        'doc_to_text: ask\ndoc_to_target: "{{answer}}"\ngeneration_kwargs: {until: ["\\n"], max_gen_toks: 12}\n',
    );
    const { application, stop } = await boot();
    try {
      const context = application.commandContext();
      const answers = async (name: string, options: Record<string, unknown>) => {
        const step = { name, stage: 'evaluate' as const, use: 'tasks', with: { tasks: './say.yaml', ...options } };
        const { outputs } = await context.runSteps([step]);
        const samples = join(dirname(outputs.get(name)!.results as string), 'samples_say.jsonl');
        return readFileSync(samples, 'utf8')
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line).resps[0][0]);
      };
      const url = new Promise<string>((resolve) => {
        application.events.on('message', ({ fields }) => {
          if (fields?.url) resolve(String(fields.url));
        });
      });
      const serving = context.runSteps([
        { name: 'serve', stage: 'serve', use: 'openai', with: { model: { path: base, id: 'base' }, port: 0 } },
      ]);
      serving.catch(() => {});
      const model = { url: `${await Promise.race([url, serving.then(() => '')])}/v1`, model: 'base' };
      for (const chat of [false, true]) {
        const here = await answers(`here-${chat}`, { model: base, chat });
        expect(here.filter((text: string) => text.trim() !== '').length).toBeGreaterThan(0);
        expect(await answers(`there-${chat}`, { model, chat })).toEqual(here);
      }
      stop.abort();
      await serving;
    } finally {
      await application.close();
    }
  });
});
