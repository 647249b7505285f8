import { type BackendEntry, type ChosenBackend, definePlugin } from '@largeforge/core';
import { chatCommand, completeCommand } from './commands.js';
import { modelCache } from './model-cache.js';
import { ModelHost } from './model-host.js';
import { defaultSettings } from './model-runtime.js';
import { generateOptionsSchema } from './options.js';

export { ModelHost, type ModelInfo, type ModelSpec } from './model-host.js';
export type { ServedModel } from './served-model.js';

/** The backend of the config, for a service that runs outside of any step. */
interface BackendSetting {
  readonly name: string;
  readonly threads?: number;
  readonly device?: number;
}

export default definePlugin({
  name: '@largeforge/generate',
  version: '0.1.0',
  apiVersion: 1,
  options: generateOptionsSchema,
  setup(context, options) {
    const backend = async (): Promise<ChosenBackend> => {
      const setting = context.config.get('backend') as string | BackendSetting | undefined;
      const { name, ...rest } = typeof setting === 'object' ? setting : { name: setting ?? 'auto' };
      const { backend: registry } = context.registries;
      const entry: BackendEntry = name === 'auto' ? (await registry.auto()).value : await registry.get(name, 'backend');
      return { ...entry, ...rest };
    };
    const host = new ModelHost(backend, { ...defaultSettings, ...options });
    context.services.provide('models', host);
    context.registries.diagnosis.add('model-cache', { load: () => modelCache });
    const terminal = { input: process.stdin, output: process.stdout, notices: process.stderr };
    context.commands.add(completeCommand(host, terminal));
    context.commands.add(chatCommand(host, terminal));
    context.onDispose(() => host.close());
  },
});
