import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { hubCacheFolder, modelsInHubCache, snapshotInHubCache } from './hub-cache.js';
import { locateModel } from './model-folder.js';

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), 'hub-'));
  vi.stubEnv('HF_HUB_CACHE', cache);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(cache, { recursive: true });
});

/** Puts files into the cache as a download of a repository does. */
function download(repository: string, commit: string, files: string[], reference = 'main'): string {
  const folder = join(cache, `models--${repository.replace('/', '--')}`);
  const snapshot = join(folder, 'snapshots', commit);
  mkdirSync(snapshot, { recursive: true });
  mkdirSync(join(folder, 'refs'), { recursive: true });
  writeFileSync(join(folder, 'refs', reference), commit);
  for (const file of files) writeFileSync(join(snapshot, file), '{}');
  return snapshot;
}

describe('hubCacheFolder', () => {
  it('is where the tools of Hugging Face keep it', () => {
    expect(hubCacheFolder({ HF_HUB_CACHE: '/a', HF_HOME: '/b' })).toBe('/a');
    expect(hubCacheFolder({ HUGGINGFACE_HUB_CACHE: '/c', HF_HOME: '/b' })).toBe('/c');
    expect(hubCacheFolder({ HF_HOME: '/b', XDG_CACHE_HOME: '/x' })).toBe('/b/hub');
    expect(hubCacheFolder({ XDG_CACHE_HOME: '/x' })).toBe('/x/huggingface/hub');
    expect(hubCacheFolder({})).toBe(join(homedir(), '.cache/huggingface/hub'));
    expect(hubCacheFolder({ HF_HOME: '~/models' })).toBe(join(homedir(), 'models/hub'));
  });
});

describe('modelsInHubCache', () => {
  it('names the models and nothing else, and says when there is no cache', () => {
    download('org/name-with-dashes', 'abc', []);
    download('org/name-with-dashes', 'def', []);
    mkdirSync(join(cache, 'models--alone'));
    mkdirSync(join(cache, 'datasets--org--data'));
    expect(modelsInHubCache()).toEqual([
      { id: 'alone', snapshots: 0 },
      { id: 'org/name-with-dashes', snapshots: 2 },
    ]);
    expect(modelsInHubCache({ HF_HUB_CACHE: join(cache, 'nowhere') })).toBeUndefined();
  });
});

describe('snapshotInHubCache', () => {
  it('finds the newest download, another branch and a commit', () => {
    const main = download('org/name', 'c1', ['config.json']);
    const other = download('org/name', 'c2', ['config.json'], 'dev');
    expect(snapshotInHubCache('org/name')).toBe(main);
    expect(snapshotInHubCache('org/name@dev')).toBe(other);
    expect(snapshotInHubCache('org/name@c2')).toBe(other);
    expect(snapshotInHubCache('org/name@c3')).toBeUndefined();
    expect(snapshotInHubCache('org/other')).toBeUndefined();
  });

  it('finds the only GGUF file of a repository, and does not choose among several', () => {
    const one = download('org/one', 'c', ['m.gguf', 'README.md']);
    download('org/two', 'c', ['a.gguf', 'b.gguf']);
    expect(snapshotInHubCache('org/one')).toBe(join(one, 'm.gguf'));
    expect(snapshotInHubCache('org/two')).toBeUndefined();
  });
});

describe('locateModel', () => {
  it('prefers what lies at the path', () => {
    const snapshot = download('org/name', 'c', ['config.json']);
    expect(locateModel('org/name', { baseDir: cache })).toBe(snapshot);
    mkdirSync(join(cache, 'org/name'), { recursive: true });
    expect(locateModel('org/name', { baseDir: cache })).toBe(join(cache, 'org/name'));
  });

  it('says how to get what is nowhere', () => {
    expect(() => locateModel('org/name', { baseDir: cache })).toThrow(
      expect.objectContaining({
        code: 'LF_ENGINE_MODEL_NOT_FOUND',
        message: expect.stringContaining(cache),
        remedy: expect.stringContaining('hf download org/name'),
      }),
    );
    expect(() => locateModel('./no/such/folder', { baseDir: cache })).toThrow(
      expect.objectContaining({ remedy: expect.not.stringContaining('hf download') }),
    );
  });
});
