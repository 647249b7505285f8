import type { LoadedConfig } from '../config/load.js';
import type { Logger } from '../kernel/plugin.js';
import type { Registry } from '../kernel/registry.js';
import type { BackendEntry, ChosenBackend } from '../lifecycle/registries.js';

/**
 * The `backend` of the config. A named one that fails is an error; `auto` takes the first that works and logs why it did
 * not take the others.
 */
export async function chooseBackend(
  registry: Registry<BackendEntry>,
  config: LoadedConfig,
  log: Logger,
): Promise<ChosenBackend> {
  const { backend } = config.root;
  const { name, ...options } = typeof backend === 'string' ? { name: backend } : backend;
  if (name !== 'auto') {
    const path = typeof backend === 'string' ? ['backend'] : ['backend', 'name'];
    return { ...(await registry.get(name, `${config.sourceOf(path)}: ${path.join('.')}`)), ...options };
  }
  const { id, value, rejected } = await registry.auto();
  for (const { id: other, reason } of rejected) log.info(`backend ${other} is not used: ${reason}`);
  log.debug(`backend ${id} is used`);
  return { ...value, ...options };
}
