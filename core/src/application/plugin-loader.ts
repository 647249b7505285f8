import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { createJiti } from 'jiti';
import { z } from 'zod';
import { configErrors } from '../config/errors.js';
import type { LoadedConfig } from '../config/load.js';
import { problemsOf, withKnownKeys } from '../config/problems.js';
import type { LoadedPlugin } from '../kernel/kernel.js';
import { kernelErrors } from '../kernel/kernel-errors.js';
import { type AnyPlugin, API_VERSION } from '../kernel/plugin.js';
import type { PluginContext } from './context.js';

const SELF = fileURLToPath(import.meta.url);
const OWN = '@largeforge/';

/** First-party plugins that are installed beside the core, in the order in which a built-in config lists them. */
export function installedPlugins(): string[] {
  const folder = nodeModules(SELF)
    .map((path) => join(path, '@largeforge'))
    .find((path) => existsSync(path));
  const names = folder === undefined ? [] : readdirSync(folder);
  return names
    .filter((name) => name !== 'core' && name !== 'engine')
    .sort()
    .map((name) => OWN + name);
}

function nodeModules(from: string): string[] {
  const folders: string[] = [];
  for (let folder = dirname(from); ; folder = dirname(folder)) {
    folders.push(join(folder, 'node_modules'));
    if (folder === dirname(folder)) return folders;
  }
}

/** Loads and checks every plugin of the config, and parses its options. */
export async function loadPlugins(config: LoadedConfig): Promise<LoadedPlugin<PluginContext>[]> {
  const loaded: LoadedPlugin<PluginContext>[] = [];
  const resolved = new Map<string, string>();
  for (const [i, entry] of config.root.plugins.entries()) {
    const [name, options] = typeof entry === 'string' ? [entry, {}] : entry;
    const source = config.sourceOf(typeof entry === 'string' ? ['plugins', i] : ['plugins', i, 0]);
    const where = `${source}: plugins[${i}]`;
    const plugin = checkPlugin(await importPlugin(name, where, config.baseDir), where);
    const first = resolved.get(plugin.name);
    if (first) throw kernelErrors.PLUGIN_DUPLICATE({ name: plugin.name, first, second: where });
    resolved.set(plugin.name, where);
    loaded.push({ plugin, options: parseOptions(plugin, options, i, config), where });
  }
  return loaded;
}

function parseOptions(
  plugin: AnyPlugin<PluginContext>,
  options: unknown,
  index: number,
  config: LoadedConfig,
): unknown {
  const parsed = plugin.options.safeParse(options);
  if (parsed.success) return parsed.data;
  throw configErrors.CONFIG_INVALID({
    problems: problemsOf(withKnownKeys(parsed.error.issues, plugin.options), {
      base: ['plugins', index, 1],
      label: `plugins[${index}] (${plugin.name})`,
      root: config.raw,
      locate: config.sourceOf,
    }),
  });
}

async function importPlugin(name: string, where: string, baseDir: string): Promise<unknown> {
  const file = resolvePlugin(name, where, baseDir);
  try {
    if (/\.[cm]?ts$/.test(file)) return await createJiti(import.meta.url).import(file, { default: true });
    return ((await import(pathToFileURL(file).href)) as { default?: unknown }).default;
  } catch (error) {
    throw kernelErrors.PLUGIN_LOAD({ where, name, reason: (error as Error).message }, { cause: error });
  }
}

/** A path from the config's folder; a package from there, or from where LargeForge itself is installed. */
function resolvePlugin(name: string, where: string, baseDir: string): string {
  const unknown = () => kernelErrors.PLUGIN_UNKNOWN({ where, name, known: installedPlugins() });
  if (name.startsWith('.') || isAbsolute(name)) {
    const path = resolve(baseDir, name);
    if (!existsSync(path)) throw unknown();
    try {
      return createRequire(join(baseDir, 'config')).resolve(path);
    } catch (cause) {
      throw kernelErrors.PLUGIN_LOAD({ where, name, reason: (cause as Error).message }, { cause });
    }
  }
  for (const from of [join(baseDir, 'config'), SELF]) {
    const entry = packageEntry(name, from);
    if (entry !== undefined) return entry;
  }
  throw unknown();
}

/** The file that an ES module import of the package means, or undefined when it is not installed there. */
function packageEntry(name: string, from: string): string | undefined {
  const folder = nodeModules(from)
    .map((path) => join(path, name))
    .find((path) => existsSync(join(path, 'package.json')));
  if (folder === undefined) return undefined;
  const manifest = createRequire(from)(join(folder, 'package.json')) as { exports?: unknown; main?: string };
  const root = manifest.exports;
  const target = pick(
    typeof root === 'object' && root !== null && '.' in root ? (root as Record<string, unknown>)['.'] : root,
  );
  return join(folder, target ?? manifest.main ?? 'index.js');
}

/** The file of a condition map, for `import`. */
function pick(target: unknown): string | undefined {
  if (typeof target === 'string') return target;
  if (typeof target !== 'object' || target === null) return undefined;
  for (const condition of ['node', 'import', 'default']) {
    const found = pick((target as Record<string, unknown>)[condition]);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Refuses what is no plugin, naming what is wrong with it. */
export function checkPlugin(value: unknown, where: string): AnyPlugin<PluginContext> {
  const fail = (reason: string) => kernelErrors.PLUGIN_INVALID({ where, reason });
  if (typeof value !== 'object' || value === null)
    throw fail('the module has no default export made by definePlugin()');
  const plugin = value as Partial<AnyPlugin<PluginContext>>;
  if (typeof plugin.name !== 'string' || plugin.name === '') throw fail('the plugin has no name');
  if (typeof plugin.version !== 'string') throw fail(`plugin "${plugin.name}" has no version`);
  if (plugin.apiVersion !== API_VERSION) {
    throw fail(
      `plugin "${plugin.name}" is written for plugin interface ${plugin.apiVersion}; this LargeForge has ${API_VERSION}`,
    );
  }
  if (
    !(plugin.options instanceof z.ZodType) &&
    typeof (plugin.options as { safeParse?: unknown })?.safeParse !== 'function'
  ) {
    throw fail(`plugin "${plugin.name}" has no options schema (z.strictObject({...}))`);
  }
  if (typeof plugin.setup !== 'function') throw fail(`plugin "${plugin.name}" has no setup function`);
  return plugin as AnyPlugin<PluginContext>;
}
