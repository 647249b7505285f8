import { serverErrors } from './errors.js';
import { isLoopback } from './http/access.js';
import { type PluginOptions, resolveOptions, type ServerOptions } from './options.js';

/** Options that may change while the server runs. */
export const reloadableKeys = ['apiKeys', 'adminKeys', 'allowedHosts', 'limits'] as const;

type ReloadableKey = (typeof reloadableKeys)[number];

/** One layer of a server's options: the plugin's own, or a step's. Values are replaced as the config is edited. */
export class OptionLayer {
  private readonly listeners = new Set<() => void>();

  constructor(private values: PluginOptions) {}

  get now(): PluginOptions {
    return this.values;
  }

  /** Takes a new value; a listener that refuses it (throws) leaves the old one in place. */
  set(key: ReloadableKey, value: unknown): void {
    const before = this.values;
    this.values = { ...before, [key]: value };
    try {
      for (const listener of this.listeners) listener();
    } catch (error) {
      this.values = before;
      throw error;
    }
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

/** The options of a server: the step's over the plugin's over the defaults, refused when they would open it to others. */
export function safeOptions(plugin: OptionLayer, step: OptionLayer): ServerOptions {
  const options = resolveOptions(plugin.now, step.now);
  if (!isLoopback(options.host) && options.apiKeys.length === 0) {
    throw serverErrors.LF_SERVER_UNSAFE_BIND({ host: options.host });
  }
  return options;
}
