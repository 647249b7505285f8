import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { formatErrors } from './errors.js';
import { reasonOf } from './file-reader.js';

/**
 * Writes a file so that its path never holds a part of it: into a temporary file beside it, flushed to the disk, then
 * renamed. Whatever fails, the temporary file is removed and an older file at the path stays as it was.
 * Throws LF_ENGINE_FILE_UNWRITABLE for what the system refuses, and what `write` throws.
 */
export async function writeFileAtomic(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const temporary = temporaryName(path);
  let file: FileHandle | undefined;
  try {
    file = await open(temporary, 'wx');
    await write(file);
    await file.sync();
    await file.close();
    file = undefined;
    await rename(temporary, path);
    syncFolder(dirname(path));
  } catch (cause) {
    await file?.close().catch(() => {});
    await rm(temporary, { force: true }).catch(() => {});
    throw asUnwritable(path, cause);
  }
}

/** As writeFileAtomic, for a text that is small enough not to be waited for. Makes the folder where it is missing. */
export function writeTextFile(path: string, text: string): void {
  const temporary = temporaryName(path);
  try {
    mkdirSync(dirname(path), { recursive: true });
    const descriptor = openSync(temporary, 'wx');
    try {
      writeFileSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, path);
    syncFolder(dirname(path));
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw asUnwritable(path, cause);
  }
}

/** JSON as Python's tools write it: indented by two, not escaped beyond need. */
export const writeJson = (path: string, value: unknown): void =>
  writeTextFile(path, `${JSON.stringify(value, null, 2)}\n`);

function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
}

/** LF_ENGINE_FILE_UNWRITABLE for what the system refused; anything else as it is. */
export function asUnwritable(path: string, cause: unknown): unknown {
  if ((cause as NodeJS.ErrnoException).syscall === undefined) return cause;
  return formatErrors.FILE_UNWRITABLE({ path, reason: reasonOf(cause) }, { cause });
}

/** Makes the renaming of files in a folder durable. A system that cannot open folders orders renames by itself. */
function syncFolder(folder: string): void {
  let descriptor: number;
  try {
    descriptor = openSync(folder, 'r');
  } catch {
    return;
  }
  try {
    fsyncSync(descriptor);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
  } finally {
    closeSync(descriptor);
  }
}
