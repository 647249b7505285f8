import { Tokenizer, type TokenizerSource } from '@largeforge/engine';
import type { DatasetFormat, ReadingOptions } from '../formats/format.js';
import type { TaskSetting } from './task.js';
import type { TrainOn } from './tokenise-example.js';

/** What a worker thread needs to tokenise, as data. */
export interface WorkerSetting {
  readonly tokenizer: TokenizerData;
  /** Module that exports the rows' format; none when the rows come already read. */
  readonly formatModule: string | undefined;
  readonly reading: ReadingOptions;
  readonly trainOn: TrainOn;
}

/** A tokenizer as data that can be sent to a thread. */
export interface TokenizerData {
  readonly source: TokenizerSource;
  /** Where it came from; named in messages. */
  readonly path: string;
  /** Tokens that end a text, the model's own among them. */
  readonly eosTokenIds: readonly number[];
}

/** The setting with its tokenizer and format loaded. */
export async function loadSetting(setting: WorkerSetting): Promise<TaskSetting> {
  const { source, path, eosTokenIds } = setting.tokenizer;
  const module: { format?: DatasetFormat } =
    setting.formatModule === undefined ? {} : await import(setting.formatModule);
  return {
    tokenizer: Tokenizer.from(source, path, eosTokenIds),
    format: module.format,
    reading: setting.reading,
    trainOn: setting.trainOn,
  };
}
