import type { Document } from './documents.js';

/** A task that a plugin brings, as an entry of the registry `task`; its id is the name by which options choose it. */
export interface PluginTask {
  /** What a task file would say, without `task`. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Documents by split; files that the options name for the task are read instead. */
  readonly documents?: Readonly<Record<string, readonly Document[]>>;
  /** Rules of its own for generated answers, by the name that `metric_list` gives them: from 0 (wrong) to 1 (right). */
  readonly metrics?: Readonly<Record<string, AnswerRule>>;
}

/** @param answer as the filters left it */
export type AnswerRule = (answer: string, document: Document) => number;

declare module '@largeforge/core' {
  interface RegistryContracts {
    task: PluginTask;
  }
}
