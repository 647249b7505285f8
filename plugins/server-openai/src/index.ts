import { definePlugin } from '@largeforge/core';
import { OptionLayer, reloadableKeys } from './live-options.js';
import { pluginOptionsSchema } from './options.js';
import { serveCommand } from './serve-command.js';

export type { ModelHost, ModelInfo, ModelSpec, ServedModel } from './models.js';

const version = '0.1.0';

export default definePlugin({
  name: '@largeforge/server-openai',
  version,
  apiVersion: 1,
  options: pluginOptionsSchema,
  setup(context, options) {
    const defaults = new OptionLayer(options);
    for (const key of reloadableKeys) context.config.reloadable(`.${key}`, (value) => defaults.set(key, value));
    context.registries.server.add('openai', {
      describe: 'OpenAI-compatible HTTP server',
      load: async () => (await import('./serve.js')).serveRunner(defaults, version),
    });
    context.commands.add(serveCommand);
  },
});
