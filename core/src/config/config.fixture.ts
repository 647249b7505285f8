import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type LoadedConfig, type LoadOptions, loadConfig } from './load.js';

export type Files = Readonly<Record<string, string>>;

/** A folder with these files, for the length of a test. */
export function folderWith(files: Files): string {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-config-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  write(folder, files);
  return folder;
}

export function write(folder: string, files: Files): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
}

/** Loads a config from files; the environment is empty unless given. */
export function load(files: Files | string, options: LoadOptions = {}): Promise<LoadedConfig> {
  const content = typeof files === 'string' ? { 'largeforge.config.yaml': files } : files;
  return loadConfig({ cwd: folderWith(content), env: {}, ...options });
}

export interface TableError extends Error {
  readonly code: string;
  readonly remedy: string;
  readonly exitCode: number;
}

/** The error that something ends with. */
export async function failure(promise: Promise<unknown>): Promise<TableError> {
  return promise.then(
    () => {
      throw new Error('nothing failed');
    },
    (error: TableError) => error,
  );
}
