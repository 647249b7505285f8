import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createJiti } from 'jiti';
import { isLargeForgeError, placeError, reasonOf } from './errors.js';
import { kernelErrors } from './kernel-errors.js';

/** A plugin that the config lists. */
export interface PluginRequest {
  /** A package name, or a path. */
  readonly name: string;
  /** Place in the config, for errors. */
  readonly where: string;
  /** Folders from which it is looked up, in this order; a path only from the first. */
  readonly from: readonly string[];
  /** Names for a near miss. */
  readonly known: readonly string[];
}

const isPath = (name: string) => /^\.{0,2}[/\\]|^\.{1,2}$|^[A-Za-z]:[/\\]/.test(name);

/** The default export of a plugin's module. */
export async function importPlugin(request: PluginRequest): Promise<unknown> {
  const { name, where } = request;
  const file = resolvePlugin(request);
  try {
    if (/\.[cm]?ts$/.test(file)) return await createJiti(file).import(file, { default: true });
    const module = (await import(pathToFileURL(file).href)) as { default?: unknown };
    // A CommonJS build of an ES module has its default export one level deeper.
    const inner = module.default as { __esModule?: boolean; default?: unknown } | undefined;
    return inner?.__esModule ? inner.default : module.default;
  } catch (error) {
    if (isLargeForgeError(error)) throw placeError(error, where);
    throw kernelErrors.LF_PLUGIN_LOAD({ where, name, reason: reasonOf(error).split('\n')[0]! }, { cause: error });
  }
}

/** The file of a plugin's module. */
export function resolvePlugin({ name, where, from, known }: PluginRequest): string {
  if (isPath(name)) {
    const path = resolve(from[0]!, name);
    const candidates = existsSync(path) && statSync(path).isDirectory() ? ['index.ts', 'index.mjs', 'index.js'] : [''];
    const files = [entryOfFolder(path), ...candidates.map((file) => join(path, file))];
    const found = files.find((file) => file !== undefined && existsSync(file) && statSync(file).isFile());
    if (!found) throw kernelErrors.LF_CONFIG_UNKNOWN_PLUGIN({ where, name, known, searched: [path] });
    return found;
  }
  for (const folder of from) {
    const found = findPackage(name, folder);
    const entry = found && entryOfFolder(found);
    if (entry !== undefined && existsSync(entry)) return entry;
    if (found) {
      const reason = `${entry ?? 'its entry'} does not exist: the package is not built`;
      throw kernelErrors.LF_PLUGIN_LOAD({ where, name, reason });
    }
  }
  throw kernelErrors.LF_CONFIG_UNKNOWN_PLUGIN({ where, name, known, searched: from });
}

/** The folder of an installed package, looked for in the node_modules of a folder and of those above it. */
export function findPackage(name: string, from: string): string | undefined {
  const paths = createRequire(join(from, 'index.js')).resolve.paths(name) ?? [];
  return paths.map((path) => join(path, name)).find((path) => existsSync(join(path, 'package.json')));
}

/** The file that `import` of a package means: `require.resolve` would not see what only an ES module may import. */
function entryOfFolder(folder: string): string | undefined {
  const manifestFile = join(folder, 'package.json');
  if (!existsSync(manifestFile)) return undefined;
  const manifest = JSON.parse(readFileSync(manifestFile, 'utf8')) as { exports?: unknown; main?: string };
  const { exports } = manifest;
  const isMap = typeof exports === 'object' && exports !== null && '.' in exports;
  const target = pickCondition(isMap ? (exports as Record<string, unknown>)['.'] : exports);
  return join(dirname(manifestFile), target ?? manifest.main ?? 'index.js');
}

function pickCondition(target: unknown): string | undefined {
  if (typeof target === 'string') return target;
  if (Array.isArray(target)) return target.map(pickCondition).find((found) => found !== undefined);
  if (typeof target !== 'object' || target === null) return undefined;
  for (const [condition, value] of Object.entries(target)) {
    if (!['node', 'import', 'module-sync', 'default'].includes(condition)) continue;
    const found = pickCondition(value);
    if (found !== undefined) return found;
  }
  return undefined;
}
