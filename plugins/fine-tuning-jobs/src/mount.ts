import { isAbsolute, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type PluginContext, pathOrName, resolveUserPath } from '@largeforge/core';
import type { FastifyInstance } from 'fastify';
import { FileStore } from './files/file-store.js';
import { fileRoutes } from './files/routes.js';
import { allowNoBody, sendRefusals } from './http/refusal.js';
import { JobQueue, type ModelLoader } from './jobs/job-queue.js';
import { JobStore } from './jobs/job-store.js';
import { jobRoutes } from './jobs/routes.js';
import type { JobsOptions } from './options.js';

/** Brings files and jobs onto a server that does not listen yet. They end with the server. */
export async function mountJobs(
  instance: unknown,
  context: Pick<PluginContext, 'config' | 'log' | 'services'>,
  options: JobsOptions,
  self: string,
): Promise<void> {
  const { config, log, services } = context;
  const app = instance as FastifyInstance;
  const pathOf = (path: string) => resolveUserPath(config.baseDir, path);
  const folder = pathOf(options.folder ?? join(String(config.get('runDir')), 'fine-tuning'));
  const bases = Object.fromEntries(
    Object.entries(options.models).map(([name, path]) => [name, pathOrName(pathOf, path)]),
  );
  const store = new JobStore(join(folder, 'jobs'));
  const files = new FileStore(join(folder, 'files'));
  const models = () => services.get<ModelLoader>('models');
  const plugins = options.plugins ?? pluginsOf(config.get('plugins'), config.baseDir, self);
  const { defaults, concurrency, maxFileBytes } = options;
  const queue = new JobQueue({
    store,
    files,
    models,
    log,
    bases,
    plugins,
    backend: config.get('backend'),
    defaults,
    concurrency,
  });
  // Routes of their own scope: their refusals and the parser of uploads are theirs alone.
  await app.register(async (scope) => {
    sendRefusals(scope);
    allowNoBody(scope);
    await fileRoutes(scope, files, queue, maxFileBytes);
    jobRoutes(scope, { store, queue, files, bases });
  });
  let closing = false;
  app.addHook('onListen', async () => {
    void startWhenServing(queue, models, () => closing).catch((error: unknown) =>
      log.warn({ err: error }, 'jobs cannot go on'),
    );
  });
  app.addHook('onClose', async () => {
    closing = true;
    await queue.close();
  });
}

/** Adapters join the base models that the server loads: these must be there first. */
async function startWhenServing(
  queue: JobQueue,
  models: () => Promise<ModelLoader>,
  closing: () => boolean,
): Promise<void> {
  while (!closing() && (await models()).list().length === 0) await sleep(100);
  if (!closing()) await queue.start();
}

/** The server's plugins, without options (these may hold keys), and the trainers; paths from the config's folder. */
function pluginsOf(listed: unknown, baseDir: string, self: string): string[] {
  const names = (Array.isArray(listed) ? listed : [])
    .map((entry: unknown) => (Array.isArray(entry) ? (entry[0] as unknown) : entry))
    .filter((name) => typeof name === 'string' && name !== self) as string[];
  const trainers = ['@largeforge/trainer-sft', '@largeforge/trainer-dpo'];
  const placed = names.map((name) => (name.startsWith('.') && !isAbsolute(name) ? resolve(baseDir, name) : name));
  return [...new Set([...placed, ...trainers])];
}
