import type { LoadedConfig } from '../config/load.js';
import type { Logger } from '../kernel/plugin.js';
import type { Registry } from '../kernel/registry.js';
import type { BackendEntry, ChosenBackend } from '../lifecycle/registries.js';

/** What the config says under `backend`, and where it names one. */
function backendSetting(config: LoadedConfig) {
  const { backend } = config.root;
  const { name, ...options } = typeof backend === 'string' ? { name: backend } : backend;
  const path = typeof backend === 'string' ? ['backend'] : ['backend', 'name'];
  return { name, options, where: `${config.sourceOf(path)}: ${path.join('.')}` };
}

/** Refuses a backend that the config names and that is unknown or cannot be used here: before any step has worked. */
export async function checkBackend(registry: Registry<BackendEntry>, config: LoadedConfig): Promise<void> {
  const { name, where } = backendSetting(config);
  if (name !== 'auto') await registry.get(name, where);
}

/** Registries of which it was said why backends are not used: once is enough for all steps, and for their check. */
const told = new WeakSet<Registry<BackendEntry>>();

/**
 * The `backend` of the config. A named one that fails is an error; `auto` takes the first that works and logs, once, why it did
 * not take the others.
 */
export async function chooseBackend(
  registry: Registry<BackendEntry>,
  config: LoadedConfig,
  log: Logger,
): Promise<ChosenBackend> {
  const { name, options, where } = backendSetting(config);
  if (name !== 'auto') return { ...(await registry.get(name, where)), ...options };
  const { id, value, rejected } = await registry.auto();
  if (!told.has(registry)) {
    told.add(registry);
    for (const { id: other, reason } of rejected) log.info(`backend ${other} is not used: ${reason}`);
  }
  log.debug(`backend ${id} is used`);
  return { ...value, ...options };
}
