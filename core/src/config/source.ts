import { relative } from 'node:path';

/** Where a value of the config comes from. */
export interface Source {
  readonly layer: 'built-in' | 'file' | 'profile' | 'environment' | 'command line';
  /** Absolute. */
  readonly file?: string;
  /** From 1. */
  readonly line?: number;
  readonly column?: number;
  /** The profile, the variable, or the flag: `small`, `LARGEFORGE__log__level`, `--set log.level`. */
  readonly name?: string;
}

/** `largeforge.config.yaml:3:5`, `LARGEFORGE__log__level`, `--set log.level`, `built-in config`. */
export function formatSource(source: Source, cwd: string): string {
  if (source.file === undefined) return source.name ?? 'built-in config';
  const place = source.line === undefined ? '' : `:${source.line}:${source.column}`;
  return displayPath(source.file, cwd) + place;
}

/** A path as people know it: relative when it is below the folder they are in. */
export function displayPath(file: string, cwd: string): string {
  const path = relative(cwd, file);
  return path === '' || path.startsWith('..') ? file : path;
}
