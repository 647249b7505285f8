import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { python, temporaryFolder } from './environment.js';
import { type Served, serve, started } from './served.js';

// The example with what it needs, in a folder of its own: its results belong there too.
const folder = temporaryFolder();
const examples = fileURLToPath(new URL('../../examples', import.meta.url));
for (const part of ['experts', 'quickstart/base']) {
  cpSync(join(examples, part), join(folder, 'examples', part), { recursive: true });
}
const config = join(folder, 'examples/experts/largeforge.config.yaml');
const results = join(folder, '.largeforge/experts');
const base = join(folder, 'examples/quickstart/base');
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

const clientOf = ({ url }: Served) => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused', maxRetries: 0 });
const changeConfig = (from: string, to: string) => {
  const text = readFileSync(config, 'utf8');
  expect(text).toContain(from);
  writeFileSync(config, text.replaceAll(from, to));
};

/** The example, trained (a little less, which is enough here) and serving by its one command, on a free port. */
let example: Served;
beforeAll(async () => {
  changeConfig('epochs: 3', 'maxSteps: 60');
  changeConfig('port: 8000', 'port: 0');
  example = await run(['run', '-c', config]);
});

const chat = (content: string, model = 'auto') => ({
  model,
  temperature: 0,
  max_tokens: 40,
  messages: [{ role: 'user' as const, content }],
});
const names = async (client: OpenAI) => (await client.models.list()).data.map(({ id }) => id);

/** What Node's and Python's clients get: each query from its expert, in the words that it was taught. */
async function reaches(client: OpenAI): Promise<void> {
  for (const [expert, query] of Object.entries(queries)) {
    const { data, response } = await client.chat.completions.create(chat(query)).withResponse();
    expect(data.model).toBe(expert);
    expect(response.headers.get('x-largeforge-expert')).toBe(expert);
    const said = data.choices[0]!.message.content;
    expect(said).toMatch(/^\{"call":/);
    const theirs = JSON.parse(python('openai_client.py', client.baseURL, 'auto', query));
    expect(theirs.models).toContain('auto');
    expect(said!.startsWith(theirs.chat)).toBe(true);
    expect(theirs.streamed).toBe(theirs.chat);
  }
}

describe('two experts that were trained on different calls', () => {
  it('answer as adapters in one process, which one command made', () => reaches(clientOf(example)));

  it('answer curl as the README of the example has it', () => {
    const readme = readFileSync(join(folder, 'examples/experts/README.md'), 'utf8').split('```sh\n');
    const commands = readme[2]!.split('```')[0]!.replaceAll('http://localhost:8000', example.url);
    const said = execFileSync('bash', ['--norc', '-ec', commands.replaceAll('curl ', 'curl -sS --fail-with-body ')], {
      encoding: 'utf8',
    });
    expect(said).toContain('{"expert":"notes","confidence":');
    expect(said).toMatch(/^x-largeforge-expert: home/m);
    expect(said).toContain('{\\"call\\":');
    expect(said).toMatch(/\{"experts":\[\{"name":"home","description":"music, lights and heating at home"/);
  });

  it('are joined by one that the config adds while they serve, until it is taken away', async () => {
    const client = clientOf(example);
    const notes = "        - {name: notes, description: 'lists, reminders, timers and messages'}\n";
    const added =
      "        - {name: careful, examples: ['xyzzy'], aggregate: {method: cascade, members: [home, notes]}}\n";
    changeConfig(notes, notes + added);
    await expect.poll(() => names(client), { timeout: 20_000 }).toContain('careful');
    const { model, choices } = await client.chat.completions.create(chat(queries.home, 'careful'));
    expect(model).toBe('careful');
    expect(choices[0]!.message.content).toMatch(/^\{"call":/);
    changeConfig(added, '');
    await expect.poll(() => names(client), { timeout: 20_000 }).not.toContain('careful');
    await example.stop();
  });

  it('answer from processes of their own, and one that is killed under load is stood in for', async () => {
    const [home, notes] = await Promise.all(['home', 'notes'].map((name) => serve(join(results, name), folder)));
    running.push(home!, notes!);
    const remote = async (name: string, server: Served) => ({
      name,
      url: `${server.url}/v1`,
      model: (await names(clientOf(server)))[0]!,
      fallback: ['general'],
    });
    const router = {
      router: join(results, 'router'),
      defaultExpert: 'general',
      health: { intervalSeconds: 1 },
      experts: [{ name: 'general' }, await remote('home', home!), await remote('notes', notes!)],
    };
    const apart = {
      plugins: [
        '@largeforge/backend-cpu',
        '@largeforge/generate',
        '@largeforge/server-openai',
        ['@largeforge/router-hybrid', router],
      ],
      pipeline: [
        { name: 'serve', stage: 'serve', use: 'openai', with: { port: 0, models: [{ path: base, id: 'general' }] } },
      ],
    };
    writeFileSync(join(folder, 'apart.json'), JSON.stringify(apart));
    const client = clientOf(await run(['run', '-c', 'apart.json']));
    await reaches(client);

    const answered: string[] = [];
    let [broken, lost] = [0, 0];
    let killed: Promise<void> | undefined;
    const whole = async (query: string) => (await client.chat.completions.create(chat(query))).model;
    /** Resolves with nothing when the answer broke off after its first token. */
    const streamed = async (query: string): Promise<string | undefined> => {
      let begun = false;
      let model = '';
      try {
        for await (const chunk of await client.chat.completions.create({ ...chat(query), stream: true })) {
          model = chunk.model;
          begun ||= Boolean(chunk.choices[0]?.delta.content);
        }
        return model;
      } catch {
        if (begun) broken++;
        else lost++;
        return undefined;
      }
    };
    const load = Array.from({ length: 8 }, async (_, worker) => {
      for (let i = 0; i < 10; i++) {
        const query = (worker + i) % 2 === 0 ? queries.home : queries.notes;
        // A whole answer that does not come would reject here: the client does not try again.
        const model = await (worker % 4 < 2 ? whole(query) : streamed(query));
        if (model !== undefined) answered.push(model);
        if (answered.length === 20) killed ??= home!.kill();
      }
    });
    await Promise.all(load);
    await killed;
    const count = (name: string) => answered.filter((model) => model === name).length;
    console.log(
      `of 80: home ${count('home')}, notes ${count('notes')}, the stand-in ${count('general')}, broken off in the middle ${broken}`,
    );
    expect(lost).toBe(0);
    expect(broken).toBeLessThanOrEqual(4);
    expect(count('notes')).toBe(40);
    expect(count('general')).toBeGreaterThan(10);
    expect(count('home') + count('general') + broken).toBe(40);
    expect(await whole(queries.home)).toBe('general');
  });
});
