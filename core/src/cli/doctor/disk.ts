import { statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

export interface DiskReport {
  readonly path: string;
  readonly freeBytes: number;
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
