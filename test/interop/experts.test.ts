import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { largeforge } from './command.js';
import { python, temporaryFolder } from './environment.js';
import { type Served, serve, started } from './served.js';

const folder = temporaryFolder();
const example = fileURLToPath(new URL('../../examples', import.meta.url));
const base = join(example, 'quickstart/base');
const queries = {
  home: 'turn the heating in the kitchen to 21 degrees',
  notes: 'put oat milk on the shopping list',
};

const running: Served[] = [];
async function run(command: readonly string[]): Promise<Served> {
  const server = await started(command, folder);
  running.push(server);
  return server;
}
afterAll(() => Promise.all(running.map((server) => server.kill())));

/** A server with the router, and the given experts beside the base model, which answers what is nobody's. */
async function front(name: string, models: readonly object[], experts: readonly object[]): Promise<OpenAI> {
  configure(name, models, experts);
  const { url } = await run(['run', '-c', `${name}.json`]);
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused', maxRetries: 0 });
}

function configure(name: string, models: readonly object[], experts: readonly object[]): void {
  const router = { router: './router', defaultExpert: 'general', health: { intervalSeconds: 1 }, experts };
  const config = {
    plugins: [
      '@largeforge/backend-cpu',
      '@largeforge/generate',
      '@largeforge/server-openai',
      ['@largeforge/router-hybrid', router],
    ],
    pipeline: [{ name: 'serve', stage: 'serve', use: 'openai', with: { port: 0, models } }],
  };
  writeFileSync(join(folder, `${name}.json`), JSON.stringify(config));
}

beforeAll(async () => {
  for (const name of ['home', 'notes']) {
    await largeforge(
      folder,
      ...['train', 'sft', '--model', base, '--dataset', join(example, `experts/data/${name}.jsonl`)],
      ...['--output-dir', name, '--max-steps', '60', '--batch-size', '32', '--learning-rate', '0.002'],
      ...['--max-length', '256', '--lora-r', '16', '--lora-alpha', '32'],
    );
  }
  const rows = join(example, 'experts/data/routing.jsonl');
  await largeforge(folder, 'train', 'router', '--dataset', rows, '--output-dir', 'router');
});

const ask = (client: OpenAI, content: string, model = 'auto') =>
  client.chat.completions.create({ model, temperature: 0, max_tokens: 40, messages: [{ role: 'user', content }] });

const names = async (client: OpenAI) => (await client.models.list()).data.map(({ id }) => id);

/** What Node's and Python's clients get: each query from its expert, in the words that it was taught. */
async function reaches(client: OpenAI): Promise<void> {
  for (const [expert, query] of Object.entries(queries)) {
    const { model, choices } = await ask(client, query);
    expect(model).toBe(expert);
    const said = choices[0]!.message.content;
    expect(said).toMatch(/^\{"call":/);
    const theirs = JSON.parse(python('openai_client.py', client.baseURL, 'auto', query));
    expect(theirs.models).toContain('auto');
    expect(said!.startsWith(theirs.chat)).toBe(true);
    expect(theirs.streamed).toBe(theirs.chat);
  }
}

describe('two experts that were trained on different calls', () => {
  it('answer as adapters in one process', async () => {
    const models = [
      { path: base, id: 'general' },
      { path: './home', id: 'home' },
      { path: './notes', id: 'notes' },
    ];
    const experts = [{ name: 'general' }, { name: 'home' }, { name: 'notes' }];
    const client = await front('together', models, experts);
    await reaches(client);
    // An expert that is added to the config is there without a restart, and gone when it is taken away.
    const added = {
      name: 'careful',
      examples: ['xyzzy plugh'],
      aggregate: { method: 'cascade', members: ['home', 'notes'] },
    };
    configure('together', models, [...experts, added]);
    await expect.poll(() => names(client), { timeout: 20_000 }).toContain('careful');
    const { model, choices } = await ask(client, queries.home, 'careful');
    expect(model).toBe('careful');
    expect(choices[0]!.message.content).toMatch(/^\{"call":/);
    configure('together', models, experts);
    await expect.poll(() => names(client), { timeout: 20_000 }).not.toContain('careful');
  });

  it('answer from processes of their own, and one that is killed under load is stood in for', async () => {
    const [home, notes] = await Promise.all([serve('./home', folder), serve('./notes', folder)]);
    running.push(home, notes);
    const modelOf = async ({ url }: Served) => {
      const { data } = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
      return data[0]!.id;
    };
    const remote = async (name: string, server: Served) => ({
      name,
      url: `${server.url}/v1`,
      model: await modelOf(server),
      fallback: ['general'],
    });
    const experts = [{ name: 'general' }, await remote('home', home), await remote('notes', notes)];
    const client = await front('apart', [{ path: base, id: 'general' }], experts);
    await reaches(client);

    const answered: string[] = [];
    let killed: Promise<void> | undefined;
    const load = Array.from({ length: 8 }, async (_, worker) => {
      for (let i = 0; i < 10; i++) {
        const { model } = await ask(client, (worker + i) % 2 === 0 ? queries.home : queries.notes);
        answered.push(model);
        if (answered.length === 20) killed = home.kill();
      }
    });
    // A single request that got no answer would reject here: the client does not try again.
    await Promise.all(load);
    await killed;
    const count = (name: string) => answered.filter((model) => model === name).length;
    console.log(`of 80: home ${count('home')}, notes ${count('notes')}, the stand-in ${count('general')}`);
    expect(answered).toHaveLength(80);
    expect(count('notes')).toBe(40);
    expect(count('general')).toBeGreaterThan(10);
    expect(count('home') + count('general')).toBe(40);
    expect((await ask(client, queries.home)).model).toBe('general');
  });
});
