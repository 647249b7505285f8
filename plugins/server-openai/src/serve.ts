import { once } from 'node:events';
import { defineStepRunner, type StepContext } from '@largeforge/core';
import type { ModelHost, ModelSpec } from './models.js';
import { type PluginOptions, resolveOptions, type StepOptions, stepOptionsSchema } from './options.js';
import { OpenAiServer } from './server.js';

/** Serves models until the run is aborted, then drains. `defaults` are the plugin's own options. */
export const serveRunner = (defaults: PluginOptions, version: string) =>
  defineStepRunner('serve', {
    options: stepOptionsSchema,
    async run(context, options: StepOptions) {
      const models = await context.kernel.services.get<ModelHost>('models');
      const server = await OpenAiServer.create({
        models,
        options: resolveOptions(defaults, options),
        log: context.log,
        version,
      });
      try {
        for (const spec of specsOf(context, options)) {
          const { id } = await models.load(spec, context.signal);
          context.events.emit({ type: 'message', level: 'info', text: `loaded ${id} from ${spec.path}` });
        }
        const { url } = await server.listen();
        context.events.emit({
          type: 'message',
          level: 'info',
          text: `serving on ${url} (Ctrl-C ends it; ${url}/docs shows the API)`,
        });
        if (!context.signal.aborted) await once(context.signal, 'abort');
        await server.drain();
      } catch (error) {
        await server.stop();
        throw error;
      }
      return {};
    },
  });

function specsOf(context: StepContext, { model, models = [] }: StepOptions): ModelSpec[] {
  return [...(model === undefined ? [] : [model]), ...models].map((entry) => {
    const spec = typeof entry === 'string' ? { path: entry } : entry;
    const cached = /^[\w-][\w.-]*\/[\w.-]+$/.test(spec.path);
    return cached ? spec : { ...spec, path: context.resolvePath(spec.path) };
  });
}
