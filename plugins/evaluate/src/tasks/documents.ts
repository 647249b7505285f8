import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { evaluateErrors } from '../errors.js';
import { readTextFile } from '../text-file.js';
import type { TaskSource } from './task-file.js';

/** One row of a data set. */
export type Document = Readonly<Record<string, unknown>>;

/** Data files of a task by split, as options name them; a single file is the split that is evaluated. */
export type TaskData = string | Readonly<Record<string, string>>;

/** The documents of a task: what is evaluated, and what worked examples are drawn from. */
export interface TaskDocuments {
  readonly split: string;
  readonly documents: readonly Document[];
  /** Documents of a split, or undefined when no file is named for it. */
  of(split: string): readonly Document[] | undefined;
}

/** Reads the data of a task. Throws when the split that is evaluated has no file. */
export function readDocuments(
  source: TaskSource,
  data: TaskData | undefined,
  resolvePath: (path: string) => string,
): TaskDocuments {
  const { test_split: test, validation_split: validation, task } = source.config;
  const splits = [test, validation].filter((split) => split != null);
  const brought = data === undefined ? source.brought?.documents : undefined;
  if (brought) return broughtDocuments(source, brought, splits);
  const files = typeof data === 'string' ? { [splits[0] ?? '']: data } : (data ?? ownFiles(source));
  const split = splits.find((each) => files[each] !== undefined);
  if (split === undefined) {
    throw evaluateErrors.LF_EVALUATE_TASK_DATA({ task, file: source.file, splits, given: Object.keys(files) });
  }
  const cache = new Map<string, readonly Document[]>();
  const of = (name: string) => {
    const named = files[name];
    if (named === undefined) return undefined;
    if (!cache.has(name)) {
      const paths = (Array.isArray(named) ? named : [named]) as string[];
      cache.set(
        name,
        paths.flatMap((path) =>
          readRows(data === undefined ? nearTask(source.file, path, resolvePath) : resolvePath(path)),
        ),
      );
    }
    return cache.get(name);
  };
  return { split, documents: of(split)!, of };
}

/** Documents that a plugin brings. */
function broughtDocuments(
  { config: { task }, file }: TaskSource,
  documents: NonNullable<NonNullable<TaskSource['brought']>['documents']>,
  splits: readonly string[],
): TaskDocuments {
  const given = Object.keys(documents);
  const split = splits.find((each) => documents[each] !== undefined);
  if (split === undefined) throw evaluateErrors.LF_EVALUATE_TASK_DATA({ task, file, splits, given });
  return { split, documents: documents[split]!, of: (name) => documents[name] };
}

/** Files that the task file itself names: one file alone is the split "train", as in the `datasets` library. */
function ownFiles({ config }: TaskSource): Readonly<Record<string, string | string[]>> {
  const files = config.dataset_kwargs?.data_files;
  if (config.dataset_path !== 'json' || files === undefined) return {};
  return typeof files === 'string' || Array.isArray(files) ? { train: files } : files;
}

/** Paths of a task file start at its folder or, as in lm-evaluation-harness, where the run does. */
function nearTask(file: string, path: string, resolvePath: (path: string) => string): string {
  const near = resolve(dirname(file), path);
  return existsSync(near) ? near : resolvePath(path);
}

/** Rows of a .jsonl file, or of a .json file that is a list. */
export function readRows(file: string): Document[] {
  const text = readTextFile(file);
  const parse = (json: string, line: number): unknown => {
    try {
      return JSON.parse(json);
    } catch (cause) {
      throw evaluateErrors.LF_EVALUATE_DOCUMENT({ file, line, reason: (cause as Error).message }, { cause });
    }
  };
  const rows = text.trimStart().startsWith('[')
    ? [parse(text, 1)].flat()
    : text.split('\n').flatMap((line, i) => (line.trim() === '' ? [] : [parse(line, i + 1)]));
  rows.forEach((row, i) => {
    if (typeof row !== 'object' || row === null || Array.isArray(row)) {
      throw evaluateErrors.LF_EVALUATE_DOCUMENT({ file, line: i + 1, reason: 'it is no object' });
    }
  });
  return rows as Document[];
}
