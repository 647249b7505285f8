import { createHash, type Hash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, readFileSync, renameSync, type Stats, writeFileSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';

/** A file that changed this lately may change again within the same time stamp: its digest is not kept. */
const SETTLED_MS = 2000;

/**
 * Digests of files and folders by content. Digests of files are kept by size and time of change: models are large, and
 * every run asks for them.
 */
export class ContentHasher {
  private readonly known: Map<string, string>;
  private changed = false;

  /** @param cacheFile where digests are kept from run to run; a damaged one is as good as none */
  constructor(private readonly cacheFile: string | undefined) {
    this.known = new Map(Object.entries(readCache(cacheFile)));
  }

  /** Digest of a file, or of the names and contents of all files in a folder; undefined when there is neither. */
  async hash(path: string): Promise<string | undefined> {
    const info = await stat(path).catch(() => undefined);
    if (!info) return undefined;
    if (info.isFile()) return this.hashFile(path, info);
    const entries = await readdir(path, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
    const hash = createHash('sha256');
    for (const file of files.sort()) {
      const inside = await stat(file).catch(() => undefined); // a link to nowhere
      if (!inside?.isFile()) continue;
      hash.update(`${relative(path, file).split(sep).join('/')}\0${await this.hashFile(file, inside)}\0`);
    }
    return hash.digest('hex');
  }

  /** Writes the digests down for the next run. */
  save(): void {
    if (!this.changed || this.cacheFile === undefined) return;
    mkdirSync(dirname(this.cacheFile), { recursive: true });
    const temporary = `${this.cacheFile}.${process.pid}.new`;
    writeFileSync(temporary, JSON.stringify(Object.fromEntries(this.known)));
    renameSync(temporary, this.cacheFile);
    this.changed = false;
  }

  private async hashFile(path: string, info: Stats): Promise<string> {
    const key = `${path}\0${info.dev}\0${info.ino}\0${info.size}\0${info.mtimeMs}\0${info.ctimeMs}`;
    const found = this.known.get(key);
    if (found !== undefined) return found;
    const digest = (await addFile(createHash('sha256'), path)).digest('hex');
    if (Date.now() - info.ctimeMs > SETTLED_MS) {
      for (const other of this.known.keys()) if (other.startsWith(`${path}\0`)) this.known.delete(other);
      this.known.set(key, digest);
      this.changed = true;
    }
    return digest;
  }
}

async function addFile(hash: Hash, file: string): Promise<Hash> {
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash;
}

function readCache(file: string | undefined): Record<string, string> {
  if (file === undefined || !existsSync(file)) return {};
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    const entries = Object.entries(value as Record<string, unknown>);
    return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
  } catch {
    return {};
  }
}

/** JSON with keys in order, so that equal values have equal texts; functions are left out. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) => {
    if (typeof each !== 'object' || each === null || Array.isArray(each)) return each;
    return Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
