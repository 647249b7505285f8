import type { ChatMessage } from '@largeforge/engine';
import type { z } from 'zod';

/** A message of a conversation, in the terms of chat templates. */
export interface Message extends ChatMessage {
  readonly content: string;
  readonly name?: string;
  readonly tool_calls?: readonly unknown[];
  readonly tool_call_id?: string;
}

/** Which of two answers a text is in preference data: what people chose (or would have), or what they did not. */
export type Verdict = 'chosen' | 'rejected';

/** What rows of a format become: texts to imitate, pairs of answers (chosen, then rejected), or single judged answers. */
export type RowKind = 'examples' | 'pairs' | 'judgements';

/** What a row says, whatever its file looked like. */
export type Example = ExampleText & {
  /** In preference data. The examples of a pair stand one behind the other: chosen, rejected. */
  readonly verdict?: Verdict;
};

type ExampleText =
  | {
      readonly kind: 'conversation';
      readonly messages: readonly Message[];
      readonly tools?: readonly unknown[];
      /** Assistant turns before this message belong to the prompt and are not learnt. */
      readonly learnFrom?: number;
    }
  | { readonly kind: 'completion'; readonly prompt: string; readonly completion: string }
  | { readonly kind: 'text'; readonly text: string };

/** How rows are read. */
export interface ReadingOptions {
  /** Field names of the file for the format's own: `{prompt: 'question', completion: 'answer'}`. */
  readonly columns: Readonly<Record<string, string>>;
  /** Whether prompts become chat turns. `auto` is the format's habit. */
  readonly style: 'auto' | 'chat' | 'plain';
  /** Whether the tokenizer has a chat template. */
  readonly hasChatTemplate: boolean;
}

/**
 * A shape that rows of a data file may have; the value of an entry of the `datasetFormat` registry.
 * @typeParam Row what the schema makes of a row
 */
export interface DatasetFormat<Row = unknown> {
  readonly id: string;
  /** Fields, for people: shown when no format fits. */
  readonly fields: string;
  readonly schema: z.ZodType<Row>;
  /** `examples` unless given. */
  readonly gives?: RowKind;
  /** Why a row looks like this format ("has instruction and output"), or undefined. Looks at field names alone. */
  recognise(row: Readonly<Record<string, unknown>>): string | undefined;
  /** Examples of a valid row, usually one. Throws RowError for what a schema cannot say. */
  examples(row: Row, options: ReadingOptions): Example[];
  /** URL of an ES module that exports this format as `format`: worker threads then read its rows. */
  readonly module?: string;
}

/** A row that is well formed but makes no sense. */
export class RowError extends Error {
  constructor(
    readonly field: string,
    readonly reason: string,
  ) {
    super(`${field}: ${reason}`);
  }
}

/** Keeps the type of the row between schema and examples. */
export function defineFormat<Row>(format: DatasetFormat<Row>): DatasetFormat<Row> {
  return format;
}

/** The row with its columns renamed to the format's own names. */
export function renameColumns(row: unknown, columns: Readonly<Record<string, string>>): unknown {
  if (typeof row !== 'object' || row === null || Array.isArray(row)) return row;
  const renamed: Record<string, unknown> = { ...row };
  for (const [own, column] of Object.entries(columns)) {
    if (!(column in row)) continue;
    if (column !== own) delete renamed[column];
    renamed[own] = (row as Record<string, unknown>)[column];
  }
  return renamed;
}

/** Refuses conversations that nothing can be learnt from. `field` names the list of turns. */
export function checkConversation(messages: readonly Message[], field: string): void {
  if (messages.length === 0) throw new RowError(field, 'the conversation is empty');
  if (!messages.some((message) => message.role === 'assistant')) {
    throw new RowError(field, 'the conversation has no assistant turn to learn from');
  }
  for (const [turn, message] of messages.entries()) {
    if (message.role === 'assistant' && message.content === '' && !message.tool_calls?.length) {
      throw new RowError(`${field}[${turn}]`, 'the assistant turn is empty');
    }
  }
}
