import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { asUnwritable } from '../../formats/atomic-file.js';

/** Beginning of the names of folders that are being written or deleted. */
const unfinished = '.unfinished-';

/** A folder that is written but not yet there. */
export interface StagedFolder {
  /** Where its files are until it is committed. */
  readonly folder: string;
  /** Forces it to disk and puts it in its place. */
  commit(): Promise<void>;
  /** Deletes it. */
  discard(): Promise<void>;
}

/**
 * Makes a folder that is either there with everything in it, or not there at all, whatever happens meanwhile (a crash,
 * `kill -9`, loss of power): written beside its place, forced to disk, then renamed.
 * @param write fills the folder it is given
 * An existing folder of that name is replaced.
 * @throws what `write` throws, and LF_ENGINE_FILE_UNWRITABLE for what the system refuses; nothing is left behind then
 */
export async function writeFolder(path: string, write: (folder: string) => Promise<void>): Promise<void> {
  const staged = await stageFolder(path, write);
  await staged.commit();
}

/** The first half of `writeFolder`: afterwards the files are written, and `commit` does the rest. */
export async function stageFolder(path: string, write: (folder: string) => Promise<void>): Promise<StagedFolder> {
  const parent = dirname(path);
  const folder = join(parent, `${unfinished}${basename(path)}-${randomBytes(4).toString('hex')}`);
  const discard = () => rm(folder, { recursive: true, force: true });
  const attempt = async (work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      await discard().catch(() => {}); // the first failure is the one to tell
      throw asUnwritable(path, error);
    }
  };
  await attempt(async () => {
    await mkdir(parent, { recursive: true });
    await mkdir(folder);
    await write(folder);
  });
  const commit = async () => {
    await attempt(async () => {
      await syncTree(folder);
      await moveInto(folder, path);
    });
    await syncFolder(parent);
  };
  return { folder, commit, discard };
}

/** Deletes a folder so that a crash half-way does not leave part of it under its name. */
export async function deleteFolder(path: string): Promise<void> {
  const doomed = join(dirname(path), `${unfinished}${basename(path)}-${randomBytes(4).toString('hex')}`);
  await rename(path, doomed);
  await rm(doomed, { recursive: true, force: true });
}

/** Removes what crashed writers and deleters left in a folder. Only for folders with a single writer. */
export async function removeUnfinished(parent: string): Promise<void> {
  const names = await readdir(parent).catch(() => []);
  for (const name of names) {
    if (name.startsWith(unfinished)) await rm(join(parent, name), { recursive: true, force: true });
  }
}

/** Renames over an existing folder: rename(2) replaces only an empty one, so the old one steps aside first. */
async function moveInto(folder: string, path: string): Promise<void> {
  try {
    await rename(folder, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    await deleteFolder(path);
    await rename(folder, path);
  }
}

async function syncTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await syncTree(path);
    else await syncFile(path);
  }
  await syncFolder(folder);
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r+');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes the names in a folder durable. Windows cannot open folders, and needs no such call. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
