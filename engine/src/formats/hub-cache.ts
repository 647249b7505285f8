import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where Hugging Face's tools keep what they download, by their own rules. */
export function hubCacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  const cache = env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE;
  if (cache) return expanded(cache);
  const home = env.HF_HOME || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface');
  return join(expanded(home), 'hub');
}

/** As Hugging Face's tools read paths, which no shell may have expanded. */
function expanded(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path;
}

/** A repository of the cache. */
export interface CachedModel {
  /** As on the hub: `organisation/name`. */
  readonly id: string;
  readonly snapshots: number;
}

/** The models in the cache, by name; undefined when there is no cache. */
export function modelsInHubCache(env: NodeJS.ProcessEnv = process.env): CachedModel[] | undefined {
  const folder = hubCacheFolder(env);
  if (!existsSync(folder)) return undefined;
  const names = readdirSync(folder).filter((name) => name.startsWith('models--'));
  return names.sort().map((name) => {
    const snapshots = join(folder, name, 'snapshots');
    return {
      id: name.slice('models--'.length).replace('--', '/'),
      snapshots: existsSync(snapshots) ? readdirSync(snapshots).length : 0,
    };
  });
}

/** The folder of a downloaded repository "org/name" (or "org/name@revision") of models or data sets, or undefined. */
function snapshotFolder(kind: 'models' | 'datasets', name: string, env: NodeJS.ProcessEnv): string | undefined {
  const [, id, revision = 'main'] = name.match(/^([\w.-]+(?:\/[\w.-]+)?)(?:@([\w./-]+))?$/) ?? [];
  if (id === undefined) return undefined;
  const repository = join(hubCacheFolder(env), `${kind}--${id.replaceAll('/', '--')}`);
  const reference = join(repository, 'refs', revision);
  const commit = existsSync(reference) ? readFileSync(reference, 'utf8').trim() : revision;
  const snapshot = join(repository, 'snapshots', commit);
  return existsSync(snapshot) ? snapshot : undefined;
}

/** The folder of a downloaded data set "org/name" (or "org/name@revision"), or undefined. */
export function datasetInHubCache(name: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  return snapshotFolder('datasets', name, env);
}

/** The folder of a downloaded model "org/name" (or "org/name@revision"), or undefined. */
export function snapshotInHubCache(name: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  const snapshot = snapshotFolder('models', name, env);
  if (snapshot === undefined) return undefined;
  if (existsSync(join(snapshot, 'config.json'))) return snapshot;
  // A repository of GGUF files with a single model in it is that model.
  const files = readdirSync(snapshot).filter((file) => file.endsWith('.gguf'));
  return files.length === 1 ? join(snapshot, files[0]!) : undefined;
}
