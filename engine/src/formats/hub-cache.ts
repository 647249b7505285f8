import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where Hugging Face's tools keep what they download, by their own rules. */
export function hubCacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (env.HF_HUB_CACHE) return env.HF_HUB_CACHE;
  if (env.HUGGINGFACE_HUB_CACHE) return env.HUGGINGFACE_HUB_CACHE;
  const home = env.HF_HOME ?? join(env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface');
  return join(home, 'hub');
}

/** The folder of a downloaded model "org/name" (or "org/name@revision"), or undefined. */
export function snapshotInHubCache(name: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  const [, id, revision = 'main'] = name.match(/^([\w.-]+(?:\/[\w.-]+)?)(?:@([\w./-]+))?$/) ?? [];
  if (id === undefined) return undefined;
  const repository = join(hubCacheFolder(env), `models--${id.replaceAll('/', '--')}`);
  const reference = join(repository, 'refs', revision);
  const commit = existsSync(reference) ? readFileSync(reference, 'utf8').trim() : revision;
  const snapshot = join(repository, 'snapshots', commit);
  if (!existsSync(snapshot)) return undefined;
  if (existsSync(join(snapshot, 'config.json'))) return snapshot;
  // A repository of GGUF files with a single model in it is that model.
  const files = readdirSync(snapshot).filter((file) => file.endsWith('.gguf'));
  return files.length === 1 ? join(snapshot, files[0]!) : undefined;
}
