import { definePlugin } from '@largeforge/core';
import { pluginOptionsSchema } from './options.js';

const version = '0.1.0';

export default definePlugin({
  name: '@largeforge/server-openai',
  version,
  apiVersion: 1,
  options: pluginOptionsSchema,
  setup(context, options) {
    context.registries.server.add('openai', {
      describe: 'OpenAI-compatible HTTP server',
      load: async () => (await import('./serve.js')).serveRunner(options, version),
    });
    context.commands.add({
      name: 'serve',
      summary: 'serve a model behind an OpenAI-compatible API',
      examples: ['largeforge serve --model ./out --port 8000'],
      options: [
        { flags: '--model <model>', description: 'folder, .gguf file, adapter or cached name', required: true },
        { flags: '--port <port>', description: 'port to listen on (default: 8000)', parse: Number },
        { flags: '--host <address>', description: 'address to listen on (default: 127.0.0.1)' },
      ],
      async run({ options: flags }, { runSteps }) {
        await runSteps([{ name: 'serve', stage: 'serve', use: 'openai', with: { ...flags } }]);
      },
    });
  },
});
