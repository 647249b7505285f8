import type { z } from 'zod';
import type { TappableHooks } from './hook-definition.js';
import { kernelErrors } from './kernel-errors.js';
import type { RegistryView } from './registry.js';
import type { ServicesView } from './services.js';
import { isRange, satisfies } from './version-range.js';

/** The version of the plugin interface that this kernel speaks. */
export const API_VERSION = 1;

interface LogFunction {
  (fields: object, message?: string): void;
  (message: string): void;
}

/** Structured logging, as pino has it. */
export interface Logger {
  level: string;
  readonly trace: LogFunction;
  readonly debug: LogFunction;
  readonly info: LogFunction;
  readonly warn: LogFunction;
  readonly error: LogFunction;
  readonly fatal: LogFunction;
  readonly silent: LogFunction;
  child(fields: Record<string, unknown>): Logger;
}

export type RegistryViews<R> = { readonly [Name in keyof R]: RegistryView<R[Name]> };

/** What the kernel gives to a plugin's setup. */
export interface BaseContext<Hooks, Registries> {
  readonly plugin: { readonly name: string; readonly version: string };
  readonly hooks: TappableHooks<Hooks>;
  readonly registries: RegistryViews<Registries>;
  readonly services: ServicesView;
  /** Aborted when the process is asked to end: stop soon and keep what is done. */
  readonly signal: AbortSignal;
  /** Runs when the kernel shuts down, the last registered first. */
  onDispose(fn: () => void | Promise<void>): void;
}

export interface PluginDefinition<Context, Options extends z.ZodType = z.ZodType> {
  /** The name of its package. */
  readonly name: string;
  readonly version: string;
  readonly apiVersion: typeof API_VERSION;
  /** Plugins that must be loaded too: name -> semver range. They are set up earlier. */
  readonly requires?: Readonly<Record<string, string>>;
  /** Plugins that are set up earlier when they are loaded. */
  readonly optional?: Readonly<Record<string, string>>;
  /** What the config may say about it: z.strictObject({...}). */
  readonly options: Options;
  setup(context: Context, options: z.output<Options>): void | Promise<void>;
}

/** A plugin whose option type does not matter to the reader. */
// biome-ignore lint/suspicious/noExplicitAny: the options of any schema; they are parsed before setup sees them.
export type AnyPlugin<Context> = PluginDefinition<Context, any>;

/** A plugin with its parsed options, and the place in the config that lists it. */
export interface LoadedPlugin<Context> {
  readonly plugin: AnyPlugin<Context>;
  readonly options: unknown;
  readonly where: string;
}

/** Refuses what is no plugin, saying what is wrong with it. */
export function checkPluginShape<Context>(value: unknown, where: string): AnyPlugin<Context> {
  const fail = (reason: string) => kernelErrors.LF_PLUGIN_INVALID({ where, reason });
  if (typeof value !== 'object' || value === null) {
    throw fail('the module has no default export made by definePlugin()');
  }
  const plugin = value as Partial<AnyPlugin<Context>>;
  if (typeof plugin.name !== 'string' || plugin.name === '') throw fail('the plugin has no name');
  const named = `plugin "${plugin.name}"`;
  if (plugin.apiVersion !== API_VERSION) {
    const found: unknown = plugin.apiVersion;
    throw kernelErrors.LF_PLUGIN_API({ where, plugin: plugin.name, found, expected: API_VERSION });
  }
  if (typeof plugin.version !== 'string' || !satisfies(plugin.version, `=${plugin.version}`)) {
    throw fail(`${named} has version ${JSON.stringify(plugin.version)}, which is not like 1.2.3`);
  }
  if (typeof (plugin.options as { safeParse?: unknown } | undefined)?.safeParse !== 'function') {
    throw fail(`${named} has no schema of its options (options: z.strictObject({...}))`);
  }
  if (typeof plugin.setup !== 'function') throw fail(`${named} has no setup function`);
  for (const [other, range] of Object.entries({ ...plugin.optional, ...plugin.requires })) {
    if (!isRange(range)) throw fail(`${named} needs "${other}" ${JSON.stringify(range)}, which is no version range`);
  }
  return plugin as AnyPlugin<Context>;
}

/** Checks what plugins need of each other, and puts the needed ones first; otherwise the order stays. */
export function orderPlugins<Context>(plugins: readonly LoadedPlugin<Context>[]): LoadedPlugin<Context>[] {
  const byName = new Map<string, LoadedPlugin<Context>>();
  for (const loaded of plugins) {
    const { name } = loaded.plugin;
    const first = byName.get(name);
    if (first) throw kernelErrors.LF_PLUGIN_DUPLICATE({ name, first: first.where, second: loaded.where });
    byName.set(name, loaded);
  }
  const ordered = new Set<LoadedPlugin<Context>>();
  const visit = (loaded: LoadedPlugin<Context>, path: readonly string[]) => {
    const { name, requires = {}, optional = {} } = loaded.plugin;
    if (ordered.has(loaded)) return;
    if (path.includes(name)) {
      throw kernelErrors.LF_PLUGIN_CYCLE({ plugins: [...path.slice(path.indexOf(name)), name] });
    }
    for (const [needs, range] of Object.entries({ ...optional, ...requires })) {
      const found = byName.get(needs);
      if (!found && !(needs in requires)) continue;
      if (!found || !satisfies(found.plugin.version, range)) {
        const { where } = loaded;
        const details = { plugin: name, needs, range, where, loaded: [...byName.keys()] };
        throw kernelErrors.LF_PLUGIN_MISSING({ ...details, found: found?.plugin.version });
      }
      visit(found, [...path, name]);
    }
    ordered.add(loaded);
  };
  for (const loaded of plugins) visit(loaded, []);
  return [...ordered];
}
