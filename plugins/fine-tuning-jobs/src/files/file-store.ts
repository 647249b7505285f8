import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { readJson, writeJson } from '@largeforge/engine';
import { refusals } from '../http/refusal.js';

/** A file as OpenAI describes it. */
export interface StoredFile {
  readonly id: string;
  readonly object: 'file';
  readonly bytes: number;
  /** Unix time in seconds. */
  readonly created_at: number;
  readonly filename: string;
  readonly purpose: string;
  readonly status: 'processed';
}

/**
 * Uploaded files, each an `<id>` with its description beside it, `<id>.json`. The description is written last: what a
 * crash leaves of an upload is no file, and is removed when the store is opened.
 */
export class FileStore {
  private readonly files = new Map<string, StoredFile>();

  constructor(private readonly folder: string) {
    mkdirSync(folder, { recursive: true });
    const names = readdirSync(folder);
    const described = new Set(names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -5)));
    for (const id of described) this.files.set(id, readJson(join(folder, `${id}.json`)) as unknown as StoredFile);
    for (const name of names) if (!name.endsWith('.json') && !described.has(name)) rmSync(join(folder, name));
  }

  /** The newest first. */
  list(): StoredFile[] {
    return [...this.files.values()].sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? 1 : -1));
  }

  /** @param param field of the request that names it, for the refusal */
  get(id: string, param?: string): StoredFile {
    const file = this.files.get(id);
    if (!file) throw refusals.noFile(id, param);
    return file;
  }

  pathOf(id: string): string {
    return join(this.folder, this.get(id).id);
  }

  read(id: string): Readable {
    return createReadStream(this.pathOf(id));
  }

  /** Takes a file in, to the disk, before it is told of. */
  async add(content: Readable, { filename, purpose }: Pick<StoredFile, 'filename' | 'purpose'>): Promise<StoredFile> {
    const id = `file-${randomBytes(12).toString('hex')}`;
    const path = join(this.folder, id);
    const temporary = `${path}.part`;
    try {
      await pipeline(content, createWriteStream(temporary, { flags: 'wx' }));
      const handle = await open(temporary, 'r+');
      const { size: bytes } = await handle.stat();
      await handle.sync();
      await handle.close();
      await rename(temporary, path);
      const created_at = Math.floor(Date.now() / 1000);
      const file: StoredFile = { id, object: 'file', bytes, created_at, filename, purpose, status: 'processed' };
      writeJson(`${path}.json`, file);
      this.files.set(id, file);
      return file;
    } catch (error) {
      rmSync(temporary, { force: true });
      rmSync(path, { force: true });
      throw error;
    }
  }

  /** Says what a file is for, when that came behind it. */
  describe(id: string, purpose: string): StoredFile {
    const file = { ...this.get(id), purpose };
    writeJson(`${this.pathOf(id)}.json`, file);
    this.files.set(id, file);
    return file;
  }

  delete(id: string): void {
    const path = this.pathOf(id);
    // The description goes first: without it there is no file.
    rmSync(`${path}.json`);
    rmSync(path, { force: true });
    this.files.delete(id);
  }
}
