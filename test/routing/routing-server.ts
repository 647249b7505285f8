import { afterEach } from 'vitest';
import { ExpertRegistry } from '../../plugins/router-hybrid/src/experts/expert-registry.js';
import { expertSchema } from '../../plugins/router-hybrid/src/experts/expert-settings.js';
import { Router } from '../../plugins/router-hybrid/src/router/router.js';
import { type MountOptions, mountRouter } from '../../plugins/router-hybrid/src/serving/mount.js';
import { type RunningServer, startServer } from '../../plugins/server-openai/test/running-server.js';
import { type Script, ScriptedModel } from '../../plugins/server-openai/test/scripted-models.js';

export const adminKey = 'an-admin-key-of-the-tests';
export const admin = { authorization: `Bearer ${adminKey}` };
export const describedExperts = [
  { name: 'music', description: 'songs and radio', examples: ['play some jazz', 'next song'], domains: ['fun'] },
  { name: 'weather', description: 'weather forecast', examples: ['will it rain tomorrow', 'is it cold'] },
];
export const jazz = [{ role: 'user' as const, content: 'please play some jazz' }];

const running: RunningServer[] = [];
afterEach(async () => {
  for (const server of running.splice(0)) await server[Symbol.asyncDispose]();
});

interface Setting extends Partial<Omit<MountOptions, 'registry'>> {
  readonly experts?: readonly Record<string, unknown>[];
  readonly file?: string;
  readonly scripts?: Readonly<Record<string, Script>>;
}

/** A server with routing; its own models are named as the experts, unless these say otherwise. */
export async function start({ experts = describedExperts, file, scripts = {}, ...mount }: Setting = {}) {
  const registry = new ExpertRegistry(
    experts.map((expert) => expertSchema.parse(expert)),
    { ...(file !== undefined && { file }), breaker: { failures: 2, openMs: 60_000, successes: 1 } },
  );
  const server = await startServer(
    {},
    { adminKeys: [adminKey] },
    {
      hooks: {
        configure: async (app) => {
          mountRouter(app, { router: new Router(), registry, log: { warn: () => {} }, ...mount });
        },
        request: async (call) => call,
        response: async () => {},
        error: async () => undefined,
      },
    },
  );
  running.push(server);
  for (const name of ['music', 'weather', 'general']) {
    server.host.models.set(name, new ScriptedModel(name, { reply: () => `${name} answers`, ...scripts[name] }));
  }
  return { server, registry };
}

export const json = async (response: Response) => ({ status: response.status, body: await response.json() });
