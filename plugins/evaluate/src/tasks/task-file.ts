import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { didYouMean, type RegistryView } from '@largeforge/core';
import { parseDocument } from 'yaml';
import { evaluateErrors } from '../errors.js';
import { readTextFile } from '../text-file.js';
import type { PluginTask } from './plugin-task.js';
import { type TaskConfig, taskConfig } from './task-config.js';

const builtInFolder = fileURLToPath(new URL('../../tasks/', import.meta.url));

/** Tasks that come with the package; their data are named in the options. */
export const builtInTasks = [
  'arc_easy',
  'arc_challenge',
  'boolq',
  'commonsense_qa',
  'gsm8k',
  'nq_open',
  'winogrande',
] as const;

export interface TaskSource {
  readonly config: TaskConfig;
  /** The task file, or who else brings the task. */
  readonly file: string;
  /** Of a task that a plugin brings. */
  readonly brought?: Omit<PluginTask, 'config'>;
}

/** Tasks that plugins bring. */
export type TaskRegistry = RegistryView<PluginTask>;

/** A task by the name of one that a plugin brings or that is built in, or by the path of a task file. */
export async function loadTask(
  name: string,
  resolvePath: (path: string) => string,
  registry: TaskRegistry,
): Promise<TaskSource> {
  if (registry.ids().includes(name)) {
    const { config, ...brought } = await registry.get(name);
    const file = `the task ${name} of a plugin`;
    return { config: parseTask({ ...config, task: name }, file), file, brought };
  }
  const builtIn = (builtInTasks as readonly string[]).includes(name);
  const file = builtIn ? `${builtInFolder}${name}.yaml` : resolvePath(name);
  if (!builtIn && !existsSync(file)) {
    const known = [...builtInTasks, ...registry.ids()];
    throw evaluateErrors.LF_EVALUATE_TASK_UNKNOWN({ name, known, guess: didYouMean(name, known) });
  }
  return { config: parseTask(readTaskFile(file), file), file };
}

function parseTask(content: Readonly<Record<string, unknown>>, file: string): TaskConfig {
  const parsed = taskConfig.safeParse(content);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const at = issue!.path.join('.');
  throw evaluateErrors.LF_EVALUATE_TASK_FILE({ file, reason: `${at === '' ? '' : `${at}: `}${issue!.message}` });
}

/** The content of a task file, on top of the one that it includes. */
function readTaskFile(file: string, including: readonly string[] = []): Record<string, unknown> {
  const fail = (reason: string) => evaluateErrors.LF_EVALUATE_TASK_FILE({ file, reason });
  if (including.includes(file)) throw fail(`it includes itself by way of ${including.at(-1)}`);
  const text = readTextFile(file);
  const functionTag = /^([^#\n]*):.*!function\s+(\S+)/m.exec(text);
  if (functionTag)
    throw evaluateErrors.LF_EVALUATE_TASK_FUNCTION({ file, key: functionTag[1]!.trim(), name: functionTag[2]! });
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error) throw fail(error.message);
  const value: unknown = document.toJS();
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw fail('it is no mapping');
  const { include, ...own } = value as Record<string, unknown>;
  const base = typeof include === 'string' ? readTaskFile(resolve(dirname(file), include), [...including, file]) : {};
  return { ...base, ...own };
}
