import { readFileSync, statSync } from 'node:fs';
import { formatErrors } from './errors.js';
import { reasonOf } from './file-reader.js';

/** The JSON files of models are small but for tokenizers and indexes; a larger one is not read into memory. */
const MAX_TEXT_BYTES = 2 ** 28;

/** Whether a path is a file (following links). */
export function isFile(path: string): boolean {
  return kindOf(path)?.isFile() ?? false;
}

function kindOf(path: string) {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    // A part of the path is a file, may not be looked into, or the name is no name at all: there is nothing there.
    return undefined;
  }
}

/** Reads a text file. Throws LF_ENGINE_FILE_MISSING, _FILE_UNREADABLE, or _FILE_CORRUPT when it is no UTF-8. */
export function readTextFile(path: string): string {
  let bytes: Buffer;
  try {
    const { size } = statSync(path);
    if (size > MAX_TEXT_BYTES) throw new Error(`it is a text file of ${size} bytes; the limit is ${MAX_TEXT_BYTES}`);
    bytes = readFileSync(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') {
      throw formatErrors.FILE_MISSING({ path, what: 'file' }, { cause });
    }
    throw formatErrors.FILE_UNREADABLE({ path, reason: reasonOf(cause) }, { cause });
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw formatErrors.FILE_CORRUPT({ path, reason: 'it is not UTF-8' }, { cause });
  }
}

/** A JSON object in a file. Throws as readTextFile does, and LF_ENGINE_FILE_CORRUPT when it is something else. */
export function readJson(path: string): Record<string, unknown> {
  return parseJson(readTextFile(path), path);
}

/** The JSON object that a file's text is. Throws LF_ENGINE_FILE_CORRUPT when it is something else. */
export function parseJson(text: string, path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw formatErrors.FILE_CORRUPT({ path, reason: `it is no JSON: ${(cause as Error).message}` }, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw formatErrors.FILE_CORRUPT({ path, reason: 'it is no JSON object' });
  }
  return value as Record<string, unknown>;
}

/** As readJson; undefined when there is no such file. */
export function readJsonIfThere(path: string): Record<string, unknown> | undefined {
  return isFile(path) ? readJson(path) : undefined;
}
