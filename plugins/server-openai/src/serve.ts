import { once } from 'node:events';
import { defineStepRunner, pathOrName, type StepContext } from '@largeforge/core';
import { announcement } from './announcement.js';
import { OptionLayer, reloadableKeys, safeOptions } from './live-options.js';
import type { ModelHost, ModelInfo, ModelSpec } from './models.js';
import { type StepOptions, stepOptionsSchema } from './options.js';
import { OpenAiServer } from './server.js';
import type { ServeHooks } from './services.js';

/**
 * Serves models until the run is aborted, then drains. The port opens first, so that a taken one is found before a large
 * model is loaded; until the models are there, requests get a 503.
 * @param defaults the plugin's own options, which a step's override
 */
export const serveRunner = (defaults: OptionLayer, version: string) =>
  defineStepRunner('serve', {
    options: stepOptionsSchema,
    outputs: ['url', 'models'],
    async check(context, options: StepOptions) {
      safeOptions(defaults, new OptionLayer(options));
      const models = await context.kernel.services.get<ModelHost>('models');
      const given = specsOf(context, options).filter(({ path }) => !context.comesLater(path));
      for (const spec of given) await models.check?.(spec);
    },
    async run(context, options: StepOptions) {
      const step = new OptionLayer(options);
      const server = await OpenAiServer.create({
        models: await context.kernel.services.get<ModelHost>('models'),
        options: safeOptions(defaults, step),
        log: context.log,
        version,
        hooks: hooksOf(context),
      });
      const update = () => server.update(safeOptions(defaults, step));
      const unsubscribe = [defaults.onChange(update), step.onChange(update)];
      for (const key of reloadableKeys) context.reloadable(key, (value) => step.set(key, value));
      try {
        return await serveUntilAborted(server, context, options);
      } finally {
        for (const end of unsubscribe) end();
        await server.stop();
      }
    },
  });

async function serveUntilAborted(
  server: OpenAiServer,
  context: StepContext<'serve'>,
  options: StepOptions,
): Promise<Record<string, unknown>> {
  const { signal, events, log } = context;
  const models = await context.kernel.services.get<ModelHost>('models');
  const { url } = await server.listen();
  log.info({ url }, 'listening; loading the models');
  const loaded: ModelInfo[] = [];
  for (const spec of specsOf(context, options)) {
    signal.throwIfAborted();
    const info = await models.load(spec, signal);
    log.info({ model: info.id, path: spec.path }, 'model loaded');
    loaded.push(info);
  }
  server.open();
  const model = loaded[0]!.id;
  const chat = (await models.get(model)).chatTemplate !== undefined;
  const keyed = server.currentOptions.apiKeys.length > 0;
  events.emit({
    type: 'message',
    level: 'info',
    text: announcement({ url, model, chat, keyed }).join('\n'),
    fields: { url, models: loaded.map(({ id }) => id) },
  });
  if (!signal.aborted) await once(signal, 'abort');
  const { activeRequests } = server;
  log.info({ activeRequests }, 'draining: no new requests are taken');
  await server.drain();
  for (const { id } of models.list().toReversed()) await models.unload(id);
  return { url, models: loaded.map(({ id }) => id) };
}

/** The kernel's serve hooks, as the server calls them. */
function hooksOf({ hooks, kernel }: StepContext<'serve'>): ServeHooks {
  return {
    configure: (instance) => hooks.configure.fire({ server: 'openai', instance, route: kernel.hooks.route }),
    request: async (call) => (hooks.request.used ? { ...call, ...(await hooks.request.fire(call)) } : call),
    response: (outcome) => hooks.response.fire(outcome),
    error: async (failure) => (hooks.error.used ? (await hooks.error.fire(failure))?.answer : undefined),
  };
}

/** Models to load: a path from the config's folder, or, when nothing is there, a name of the local Hugging Face cache. */
function specsOf(context: Pick<StepContext, 'resolvePath'>, { model, models = [] }: StepOptions): ModelSpec[] {
  return [...(model === undefined ? [] : [model]), ...models].map((entry) => {
    const spec: ModelSpec = typeof entry === 'string' ? { path: entry } : entry;
    const resolved = (path: string) => pathOrName(context.resolvePath, path);
    const mixedWith = spec.mixedWith?.map(({ path, weight }) => ({ path: resolved(path), weight }));
    const { speculation: guesses } = spec;
    const speculation = guesses && 'draft' in guesses ? { ...guesses, draft: resolved(guesses.draft) } : guesses;
    return { ...spec, path: resolved(spec.path), ...(mixedWith && { mixedWith }), ...(speculation && { speculation }) };
  });
}
