import { type PluginTest, testPlugin } from '@largeforge/core/testing';
import router from '@largeforge/router-hybrid';
import server from '@largeforge/server-openai';
import { afterEach, expect, test } from 'vitest';
import { ScriptedHost, ScriptedModel } from '../../plugins/server-openai/test/scripted-models.js';

const kits: PluginTest[] = [];
afterEach(async () => {
  for (const kit of kits.splice(0)) {
    kit.interrupt();
    await kit.dispose();
  }
});

/** Serves on a config with these options of the router; resolves with the address, or rejects as the step does. */
async function serve(options: Record<string, unknown>): Promise<string> {
  const host = new ScriptedHost();
  host.load = async ({ path }) => {
    const id = path.split('/').at(-1)!;
    host.models.set(id, new ScriptedModel(id, { reply: () => 'ok' }));
    return host.list().find((info) => info.id === id)!;
  };
  const kit = await testPlugin(router, { options, plugins: [server], services: { models: host } });
  kits.push(kit);
  const ended = kit.runStep({ stage: 'serve', use: 'openai', with: { port: 0, models: ['./music', './weather'] } });
  const url = new Promise<string>((resolve) => {
    kit.application.events.on('message', ({ fields }) => {
      if (fields?.url) resolve(String(fields.url));
    });
  });
  return Promise.race([url, ended.then(() => 'ended')]);
}

const experts = [
  { name: 'music', examples: ['play some jazz'], keywords: [{ term: 'radio', weight: 2 }] },
  { name: 'weather', examples: ['will it rain tomorrow'] },
];

test('a server routes as its config says', async () => {
  const url = await serve({ experts, defaultExpert: 'weather' });
  const route = async (query: string) => {
    const body = JSON.stringify({ query });
    const headers = { 'content-type': 'application/json' };
    return (await fetch(`${url}/route`, { method: 'POST', headers, body })).json();
  };
  expect(await route('turn on the radio')).toMatchObject({ expert: 'music' });
  expect(await route('xyzzy')).toMatchObject({ expert: 'weather' });
  expect((await (await fetch(`${url}/experts`)).json()).experts).toHaveLength(2);
});

test.each([
  [
    'a default expert that is not there',
    { experts, defaultExpert: 'cooking' },
    /default expert "cooking".*music, weather/,
  ],
  ['a router that is not there', { experts, router: './nowhere' }, /nowhere is no trained router/],
  ['an encoder that is not there', { experts, encoder: './nowhere' }, /nowhere, which is not there/],
])('%s stops the server from starting', async (_, options, message) => {
  await expect(serve(options)).rejects.toThrow(message);
});
