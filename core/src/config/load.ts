import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { cosmiconfig } from 'cosmiconfig';
import { configErrors } from './errors.js';
import { interpolate } from './interpolate.js';
import { environmentLayers, fileLayers, neighbours, profileLayers, setLayers } from './layers.js';
import { mergeNodes } from './merge.js';
import { markSecret, parseNode } from './parse.js';
import type { ConfigPath } from './path.js';
import { layerSchema, type RootConfig, rootSchema } from './schema.js';
import { isSecretPath, Secrets } from './secrets.js';
import { displayPath, formatSource } from './source.js';
import { type ConfigNode, eachValue, fromValue, nodeAt, toValue } from './tree.js';

export interface LoadOptions {
  /** Where to look; the working directory unless given. */
  readonly cwd?: string;
  /** The file, when it is named; otherwise it is looked for from `cwd` upwards. */
  readonly file?: string;
  readonly profile?: string;
  /** `path=value`, as on the command line; later ones win. */
  readonly set?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** The config when there is no file. */
  readonly builtIn?: Record<string, unknown>;
  /** Takes the built-in config whatever files and variables there are. */
  readonly builtInOnly?: boolean;
  /** Where secrets are noted; a reload notes them where the first load did. */
  readonly secrets?: Secrets;
}

/** A config that was read and checked, with the source of every value. */
export interface LoadedConfig {
  readonly root: RootConfig;
  /** As merged and interpolated, before the schema's defaults. Secrets are in it. */
  readonly raw: Readonly<Record<string, unknown>>;
  /** `raw`, every value with its source. */
  readonly tree: ConfigNode;
  /** The file, or undefined for the built-in config. */
  readonly file: string | undefined;
  /** Every file that took part, those of ${file:...} too. */
  readonly files: readonly string[];
  readonly profile: string | undefined;
  /** Relative paths of steps start here: the file's folder, or the working directory. */
  readonly baseDir: string;
  readonly cwd: string;
  /** What must not be printed; more is added when plugins and steps are known. */
  readonly secrets: Secrets;
  /** "file:line:column" or the override's name; "default" for what no layer sets. */
  sourceOf(path: ConfigPath): string;
}

const NAME = 'largeforge.config';
const EXTENSIONS = ['.yaml', '.yml', '.json', '.ts', '.mjs'];

/** The config file that holds for a folder: there, or in a folder above up to the project's (with a package.json). */
export async function findConfigFile(cwd: string): Promise<string | undefined> {
  // Finding only: the file is read with the places of its values kept, which cosmiconfig does not do.
  const loaders = Object.fromEntries(EXTENSIONS.map((extension) => [extension, (path: string) => ({ path })]));
  const explorer = cosmiconfig('largeforge', {
    searchPlaces: EXTENSIONS.map((extension) => NAME + extension),
    searchStrategy: 'project',
    ignoreEmptySearchPlaces: false,
    loaders,
  });
  const file = (await explorer.search(cwd))?.filepath;
  if (file === undefined) return undefined;
  const folder = dirname(file);
  const files = EXTENSIONS.map((extension) => NAME + extension).filter((name) => existsSync(join(folder, name)));
  if (files.length > 1) throw configErrors.LF_CONFIG_AMBIGUOUS({ folder: displayPath(folder, cwd), files });
  return file;
}

/** Finds, reads, merges and checks the config. Plugin options and the steps' `with` are checked by whom they are for. */
export async function loadConfig(options: LoadOptions = {}): Promise<LoadedConfig> {
  if (options.builtInOnly) {
    const { builtIn, cwd, secrets } = options;
    return readLayers({ builtIn, cwd, secrets, env: {} }, undefined);
  }
  const cwd = options.cwd ?? process.cwd();
  return readLayers(options, options.file === undefined ? await findConfigFile(cwd) : namedFile(options.file, cwd));
}

async function readLayers(options: LoadOptions, file: string | undefined): Promise<LoadedConfig> {
  const { cwd = process.cwd(), env = process.env, profile, secrets = new Secrets() } = options;
  const fromFiles = file === undefined ? [] : await fileLayers(file, { cwd, env, profile });
  const base =
    file === undefined ? [fromValue(options.builtIn ?? {}, { layer: 'built-in' })] : fromFiles.map(({ tree }) => tree);
  const layers = [
    ...base,
    ...(profile === undefined ? [] : profileLayers(base, profile)),
    ...environmentLayers(env),
    ...setLayers(options.set ?? []),
  ];
  const empty = fromValue({}, base.at(-1)!.source);
  const merged = withoutProfiles(
    layers.reduce((below, above) => mergeNodes(below, above, cwd), empty),
    cwd,
    secrets,
  );
  const files = new Set(fromFiles.map((layer) => layer.file));
  const baseDir = file === undefined ? cwd : dirname(file);
  const tree = interpolate(merged, { env, baseDir, cwd, secrets, onFile: (path) => files.add(path) });
  eachValue(tree, (node, path) => {
    const isText = typeof node.value === 'string' || typeof node.alternative === 'string';
    if (isText && isSecretPath(path)) markSecret(node, secrets);
  });
  const root = parseNode(rootSchema, tree, { label: '', cwd, secrets })!;
  return {
    root,
    raw: toValue(tree) as Record<string, unknown>,
    tree,
    file,
    files: [...files],
    profile,
    baseDir,
    cwd,
    secrets,
    sourceOf: (path) => {
      const node = nodeAt(tree, path);
      return node ? formatSource(node.source, cwd) : 'default';
    },
  };
}

function namedFile(name: string, cwd: string): string {
  const path = resolve(cwd, name);
  if (existsSync(path)) return path;
  const nearby = neighbours(path, name).filter((each) => basename(each) !== basename(path));
  throw configErrors.LF_CONFIG_FILE_MISSING({ path: name, nearby });
}

/** Profiles are checked for their shape, and are no part of the config when they are not applied. */
function withoutProfiles(tree: ConfigNode, cwd: string, secrets: Secrets): ConfigNode {
  if (tree.kind !== 'map') return tree;
  const entries = new Map(tree.entries);
  const profiles = entries.get('profiles');
  if (profiles)
    parseNode(layerSchema, { ...tree, entries: new Map([['profiles', profiles]]) }, { label: '', cwd, secrets });
  entries.delete('profiles');
  return { ...tree, entries };
}
