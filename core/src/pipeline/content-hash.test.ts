import { readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { folderWith, write } from '../config/config.fixture.js';
import { ContentHasher, canonicalJson } from './content-hash.js';

const files = { 'a.txt': 'one', 'model/config.json': '{}', 'model/deep/x.bin': 'abc' };

/** Makes files look as if they had been written long ago. */
function settle(folder: string, names: readonly string[]): void {
  for (const name of names) utimesSync(join(folder, name), 1000, 1000);
}

describe('a content hash', () => {
  it('is that of the content: not of times, places or other files', async () => {
    const one = folderWith(files);
    const two = folderWith({ ...files, 'other.txt': 'x' });
    settle(two, ['a.txt', 'model/deep/x.bin']);
    const hasher = new ContentHasher(undefined);
    for (const name of ['a.txt', 'model']) {
      expect(await hasher.hash(join(one, name))).toBe(await hasher.hash(join(two, name)));
    }
    expect(await hasher.hash(join(one, 'absent'))).toBeUndefined();
  });

  it.each<[string, (folder: string) => void]>([
    ['a file changes', (folder) => writeFileSync(join(folder, 'model/deep/x.bin'), 'abd')],
    ['a file is added', (folder) => write(folder, { 'model/new': '' })],
    ['a file is removed', (folder) => rmSync(join(folder, 'model/config.json'))],
    [
      'a file is renamed',
      (folder) => {
        write(folder, { 'model/deep/y.bin': 'abc' });
        rmSync(join(folder, 'model/deep/x.bin'));
      },
    ],
  ])('of a folder changes when %s', async (_, change) => {
    const folder = folderWith(files);
    const before = await new ContentHasher(undefined).hash(join(folder, 'model'));
    change(folder);
    expect(await new ContentHasher(undefined).hash(join(folder, 'model'))).not.toBe(before);
  });

  it('follows links to files and survives links to nowhere', async () => {
    const folder = folderWith(files);
    const plain = await new ContentHasher(undefined).hash(join(folder, 'model'));
    symlinkSync(join(folder, 'nowhere'), join(folder, 'model/dangling'));
    expect(await new ContentHasher(undefined).hash(join(folder, 'model'))).toBe(plain);
    symlinkSync(join(folder, 'a.txt'), join(folder, 'model/link'));
    const linked = await new ContentHasher(undefined).hash(join(folder, 'model'));
    expect(linked).not.toBe(plain);
    writeFileSync(join(folder, 'a.txt'), 'two');
    expect(await new ContentHasher(undefined).hash(join(folder, 'model'))).not.toBe(linked);
  });

  it('is kept for files that have long been as they are, and not for fresh ones', async () => {
    const folder = folderWith(files);
    const cache = join(folder, 'cache/digests.json');
    const hasher = new ContentHasher(cache);
    await hasher.hash(join(folder, 'a.txt'));
    hasher.save();
    // Just written: it may change again within the same time stamp.
    expect(() => readFileSync(cache)).toThrow('ENOENT');
    vi.useFakeTimers({ now: Date.now() + 60_000, toFake: ['Date'] });
    try {
      const digest = await hasher.hash(join(folder, 'a.txt'));
      hasher.save();
      const kept = JSON.parse(readFileSync(cache, 'utf8')) as Record<string, string>;
      expect(Object.values(kept)).toEqual([digest]);
      // A digest that was kept is used: nothing reads the file again.
      const marked = Object.fromEntries(Object.keys(kept).map((key) => [key, 'marked']));
      writeFileSync(cache, JSON.stringify(marked));
      expect(await new ContentHasher(cache).hash(join(folder, 'a.txt'))).toBe('marked');
      // A file that changed since is read again.
      writeFileSync(join(folder, 'a.txt'), 'two');
      expect(await new ContentHasher(cache).hash(join(folder, 'a.txt'))).toMatch(/^[0-9a-f]{64}$/);
      writeFileSync(cache, 'not JSON');
      expect(await new ContentHasher(cache).hash(join(folder, 'a.txt'))).toMatch(/^[0-9a-f]{64}$/);
    } finally {
      vi.useRealTimers();
    }
  });

  it('of values does not depend on the order of keys', () => {
    expect(canonicalJson({ b: [{ d: 1, c: 2 }], a: null })).toBe(canonicalJson({ a: null, b: [{ c: 2, d: 1 }] }));
    expect(canonicalJson([1, 2])).not.toBe(canonicalJson([2, 1]));
  });
});
