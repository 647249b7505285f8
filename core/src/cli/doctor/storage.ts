import { readdir, stat, statfs } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

export interface DiskReport {
  readonly path: string;
  readonly freeBytes: number;
}

export interface CachedModel {
  /** As on the hub: `organisation/name`. */
  readonly id: string;
  readonly snapshots: number;
}

export interface HubCacheReport {
  readonly path: string;
  readonly models: readonly CachedModel[];
  readonly exists: boolean;
}

/** Free space of the file system that holds a path, which need not exist yet. */
export async function inspectDisk(path: string): Promise<DiskReport> {
  for (let folder = resolve(path); ; folder = dirname(folder)) {
    try {
      const { bavail, bsize } = await statfs(folder);
      return { path: folder, freeBytes: bavail * bsize };
    } catch (error) {
      if (folder === dirname(folder)) throw error;
    }
  }
}

/** Where the Hugging Face libraries keep what they download; the same variables, in the same order. */
export function hubCachePath(environment: NodeJS.ProcessEnv): string {
  const { HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = environment;
  if (HF_HUB_CACHE) return HF_HUB_CACHE;
  return join(HF_HOME ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface'), 'hub');
}

/** Models in the local Hugging Face cache. */
export async function inspectHubCache(environment: NodeJS.ProcessEnv): Promise<HubCacheReport> {
  const path = hubCachePath(environment);
  if (!(await stat(path).catch(() => undefined))?.isDirectory()) return { path, models: [], exists: false };
  const models: CachedModel[] = [];
  for (const name of (await readdir(path)).sort()) {
    if (!name.startsWith('models--')) continue;
    const snapshots = await readdir(join(path, name, 'snapshots')).catch(() => []);
    models.push({ id: name.slice('models--'.length).replace('--', '/'), snapshots: snapshots.length });
  }
  return { path, models, exists: true };
}
