import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { cosmiconfig } from 'cosmiconfig';
import { configErrors } from './errors.js';
import { environmentLayers, fileLayers, interpolate, mergeLayers, profileLayers, setLayers } from './layers.js';
import { type ConfigPath, formatPath } from './path.js';
import { problemsOf, withKnownKeys } from './problems.js';
import { type RootConfig, rootSchema } from './schema.js';
import type { ConfigLayer } from './source.js';

export interface LoadOptions {
  readonly cwd?: string;
  /** The file, when it is named; otherwise it is looked for from `cwd` upwards. */
  readonly file?: string;
  readonly profile?: string;
  /** `path=value`, as on the command line. */
  readonly set?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** The config when there is no file. */
  readonly builtIn?: Record<string, unknown>;
}

/** A config that was read and checked, with the source of every value. */
export interface LoadedConfig {
  readonly root: RootConfig;
  /** As merged and interpolated, before the schema's defaults. */
  readonly raw: Record<string, unknown>;
  /** The file, or undefined for the built-in config. */
  readonly file: string | undefined;
  /** Every file that took part. */
  readonly files: readonly string[];
  /** Relative paths start here. */
  readonly baseDir: string;
  /** Texts that came out of ${env:...} and ${file:...}: never to be printed where the key is a secret. */
  readonly secrets: ReadonlySet<string>;
  /** "file:line:column" or the override's name; "default" for what no layer sets. */
  sourceOf(path: ConfigPath): string;
}

const PLACES = ['yaml', 'yml', 'json', 'ts', 'mjs'].map((extension) => `largeforge.config.${extension}`);

/** The config file that holds for a folder: there, or in a folder above. */
export async function findConfigFile(cwd: string): Promise<string | undefined> {
  // Finding only: every loader gives the path back, and the file is read with its places kept.
  const asPath = (path: string) => path;
  const loaders = Object.fromEntries(
    ['.yaml', '.yml', '.json', '.ts', '.mjs', 'noExt'].map((extension) => [extension, asPath]),
  );
  const explorer = cosmiconfig('largeforge', { searchPlaces: PLACES, stopDir: '/', searchStrategy: 'global', loaders });
  return (await explorer.search(cwd))?.filepath;
}

/** Finds, reads, merges and checks the config. Plugin options and the steps' `with` are checked by whom they are for. */
export async function loadConfig(options: LoadOptions = {}): Promise<LoadedConfig> {
  const cwd = options.cwd ?? process.cwd();
  const env = options.env ?? process.env;
  const named = options.file === undefined ? undefined : resolve(cwd, options.file);
  if (named !== undefined && !existsSync(named)) throw configErrors.CONFIG_NOT_FOUND({ path: options.file! });
  const file = named ?? (await findConfigFile(cwd));
  const base: ConfigLayer[] =
    file === undefined
      ? [{ name: 'built-in', value: options.builtIn ?? {}, locate: () => 'built-in' }]
      : await fileLayers(file);
  const layers = [
    ...base,
    ...(options.profile === undefined ? [] : profileLayers(base, options.profile)),
    ...environmentLayers(env),
    ...setLayers(options.set ?? []),
  ];
  const merged = mergeLayers(layers);
  const baseDir = file === undefined ? cwd : dirname(file);
  const { value: raw, secrets } = interpolate(merged, baseDir, env);
  const locate = (path: ConfigPath): string | undefined => {
    for (let length = path.length; length >= 0; length--) {
      const layer = merged.sources.get(formatPath(path.slice(0, length)));
      if (layer) return layer.locate(path);
    }
    return file;
  };
  const parsed = rootSchema.safeParse(raw);
  if (!parsed.success) {
    throw configErrors.CONFIG_INVALID({
      problems: problemsOf(withKnownKeys(parsed.error.issues, rootSchema), { base: [], root: raw, locate }),
    });
  }
  return {
    root: parsed.data,
    raw,
    file,
    files: file === undefined ? [] : base.map((layer) => layer.name),
    baseDir,
    secrets,
    sourceOf: (path) => (merged.sources.has(formatPath(path)) ? locate(path)! : 'default'),
  };
}
