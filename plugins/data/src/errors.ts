import { defineErrors } from '@largeforge/core';
import type { RowKind } from './formats/format.js';

interface WrongKind {
  readonly source: string;
  readonly format: string;
  /** Why the format was taken. */
  readonly reason: string;
  readonly gives: RowKind;
  readonly wanted: readonly RowKind[];
  readonly usable: readonly string[];
}

const kindWords: Record<RowKind, string> = {
  examples: 'examples to imitate',
  pairs: 'pairs of a chosen and a rejected answer',
  judgements: 'single answers with a label',
};

const kindTrainers: Record<RowKind, string> = {
  examples: 'sft',
  pairs: 'dpo, orpo, cpo, simpo, kto',
  judgements: 'kto',
};

const list = (items: readonly string[]) => items.join(', ');

/** Everything that can be wrong with training data. */
export const dataErrors = defineErrors({
  LF_DATA_FILE_MISSING: {
    message: ({ path }: { path: string }) => `there is no data file '${path}'`,
    remedy: () => 'check the path; relative paths start at the folder of the config file, or where the command runs',
  },
  LF_DATA_FOLDER_EMPTY: {
    message: ({ path }: { path: string; extensions: readonly string[] }) => `the folder '${path}' holds no data file`,
    remedy: ({ extensions }) => `put files ending in ${list(extensions)} there, or name a file`,
  },
  LF_DATA_FILE_UNREADABLE: {
    message: ({ path, reason }: { path: string; reason: string }) => `cannot read '${path}': ${reason}`,
    remedy: () => 'data files are UTF-8: a JSON list, JSON Lines (one object a line) or plain text (.txt); or Parquet',
  },
  LF_DATA_SINGLE_OBJECT: {
    message: ({ path }: { path: string; keys: readonly string[] }) =>
      `'${path}' is one JSON object, not a list of rows`,
    remedy: ({ keys }) =>
      `make it a JSON list ([{...}, {...}]) or JSON Lines${keys.length > 0 ? ` (its keys are ${list(keys)})` : ''}`,
  },
  LF_DATA_JSON_SYNTAX: {
    message: ({ file, line, detail }: { file: string; line: number; detail: string }) => `${file}:${line}: ${detail}`,
    remedy: () => 'mend the file there; with JSON Lines a damaged row would cost only itself',
  },
  LF_DATA_FORMAT_UNKNOWN: {
    message: ({ source, fields }: { source: string; fields: readonly string[]; known: readonly string[] }) =>
      fields.length > 0
        ? `the rows of '${source}' look like no known data format; their fields are ${list(fields)}`
        : `the rows of '${source}' are not JSON objects`,
    remedy: ({ known }) =>
      `name the format (format: ...) and map fields to it (columns: {prompt: '...'}). Known: ${known.join('; ')}`,
  },
  LF_DATA_WRONG_KIND: {
    message: (a: WrongKind) =>
      `the rows of '${a.source}' are ${kindWords[a.gives]} (${a.format}: ${a.reason}); this trainer learns from ` +
      a.wanted.map((kind) => kindWords[kind]).join(' or '),
    remedy: ({ gives, usable }: WrongKind) =>
      `use a trainer for them (${kindTrainers[gives]}), or data that is one of: ${usable.join('; ')}`,
  },
  LF_DATA_NO_ROWS: {
    message: ({ source, reason }: { source: string; reason: string }) =>
      `'${source}' has no row to train on: ${reason}`,
    remedy: () => 'look at the rejected rows above, or at the options that drop rows',
  },
  LF_DATA_REJECTED_ROWS: {
    message: (a: { rejected: number; rows: number; limit: string; first: readonly string[] }) =>
      `${a.rejected} of ${a.rows} rows cannot be used (limit: ${a.limit}). The first:\n  ${a.first.join('\n  ')}`,
    remedy: () => 'mend or remove these rows, or raise maxRejected (a share such as 0.05, or a count)',
  },
  LF_DATA_OVERLONG: {
    message: (a: { rows: number; total: number; maxLength: number; longest: number; targets: number; share: number }) =>
      `${a.rows} of ${a.total} rows are longer than ${a.maxLength} tokens (the longest has ${a.longest}); cutting them ` +
      `would lose ${a.targets.toLocaleString('en-US')} tokens to learn (${(100 * a.share).toFixed(1)} %)`,
    remedy: ({ longest }) =>
      `raise maxLength (up to ${longest}), or choose overlong: truncate (lose their ends), drop (lose the rows) or ` +
      'split (several rows out of one)',
  },
  LF_DATA_NO_CHAT_TEMPLATE: {
    message: ({ model, format }: { model: string; format: string }) =>
      `the rows are conversations (${format}), but the tokenizer of '${model}' has no chat template`,
    remedy: () => "set chatTemplate to a Jinja file or to 'chatml', or train on prompt and completion (style: plain)",
  },
  LF_DATA_NO_STOP_TOKEN: {
    message: ({ stop }: { stop: readonly string[] }) =>
      `no row teaches the model to stop: no target is a stop token (${list(stop)})`,
    remedy: () =>
      "check the end of the assistant's turn in the chat template and eos_token_id in generation_config.json, or set " +
      'stopToken: ignore when the model shall not learn to stop',
  },
  LF_DATA_REFUSED: {
    message: ({ source, plugin, reason }: { source: string; plugin: string; reason: string }) =>
      `${plugin} refuses the data '${source}': ${reason}`,
    remedy: ({ plugin }) => `mend the data, or take ${plugin} out of the config`,
  },
  LF_DATA_NO_SUCH_FORMAT: {
    message: ({ id }: { id: string; known: readonly string[] }) => `there is no data format '${id}'`,
    remedy: ({ known }) => `use one of ${list(known)}, or auto to detect it`,
  },
});
