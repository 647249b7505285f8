import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LoadedConfig } from '../config/load.js';
import { parseNode } from '../config/parse.js';
import type { ConfigSlice } from '../config/reload.js';
import { formatSource } from '../config/source.js';
import { type ConfigNode, fromValue, nodeAt, toValue } from '../config/tree.js';
import { checkPluginShape, type LoadedPlugin } from '../kernel/plugin.js';
import { importPlugin } from '../kernel/plugin-modules.js';
import type { PluginContext } from './context.js';

/** Where LargeForge itself is installed: its plugins may lie beside it. */
const OWN_FOLDER = dirname(fileURLToPath(import.meta.url));
const SCOPE = '@largeforge';

/** What a package of a plugin carries among its keywords, so that it is found as one. */
export const PLUGIN_KEYWORD = 'largeforge-plugin';

/** First-party plugins that are installed beside the core, in the order in which a built-in config lists them. */
export function installedPlugins(): string[] {
  const names = new Set<string>();
  for (let folder = OWN_FOLDER; ; folder = dirname(folder)) {
    const scope = join(folder, 'node_modules', SCOPE);
    if (existsSync(scope)) for (const name of readdirSync(scope)) if (isPlugin(join(scope, name))) names.add(name);
    if (folder === dirname(folder)) break;
  }
  return [...names].sort().map((name) => `${SCOPE}/${name}`);
}

function isPlugin(folder: string): boolean {
  const manifest = join(folder, 'package.json');
  if (!existsSync(manifest)) return false;
  const { keywords } = JSON.parse(readFileSync(manifest, 'utf8')) as { keywords?: readonly string[] };
  return keywords?.includes(PLUGIN_KEYWORD) ?? false;
}

/** A plugin, and the part of the config that its schema checks. */
export interface ConfiguredPlugin extends LoadedPlugin<PluginContext> {
  readonly slice?: ConfigSlice;
}

/** Modules that stand in for packages, by name: for tests, and for programs that bundle their plugins. */
export type PluginModules = Readonly<Record<string, () => Promise<unknown>>>;

/** Loads and checks every plugin of the config, and parses its options. */
export async function loadPlugins(config: LoadedConfig, modules: PluginModules = {}): Promise<ConfiguredPlugin[]> {
  const list = nodeAt(config.tree, ['plugins']);
  const loaded: ConfiguredPlugin[] = [];
  for (const [i, entry] of (list?.kind === 'list' ? list.items : []).entries()) {
    loaded.push(await loadPlugin(config, entry, i, modules));
  }
  return loaded;
}

async function loadPlugin(
  config: LoadedConfig,
  entry: ConfigNode,
  index: number,
  modules: PluginModules,
): Promise<ConfiguredPlugin> {
  const { cwd, secrets, baseDir } = config;
  const [nameNode = entry, options] = entry.kind === 'list' ? entry.items : [entry];
  const where = `${formatSource(nameNode.source, cwd)}: plugins[${index}]`;
  const choice = toValue(nameNode);
  const { file } = nameNode.source;
  const from = [file ? dirname(file) : baseDir, baseDir, OWN_FOLDER];
  const exported =
    typeof choice !== 'string'
      ? choice
      : modules[choice]
        ? await modules[choice]()
        : await importPlugin({ name: choice, where, from, known: [...installedPlugins(), ...Object.keys(modules)] });
  const plugin = checkPluginShape<PluginContext>(exported, typeof choice === 'string' ? `${where} (${choice})` : where);
  const label = `plugins[${index}] (${plugin.name})`;
  const slice = { path: ['plugins', index, 1], label, schema: plugin.options, plugin: plugin.name };
  const node = options ?? fromValue({}, nameNode.source);
  return { plugin, options: parseNode(plugin.options, node, { label: slice.label, cwd, secrets }), where, slice };
}
