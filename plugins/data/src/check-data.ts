import { stat } from 'node:fs/promises';
import type { CheckContext } from '@largeforge/core';
import { dataErrors } from './errors.js';
import type { DataOptions } from './options.js';
import { dataFiles } from './reading/data-file.js';

/**
 * Looks whether the files of a data set are there, before anything runs; what they hold is read later.
 * @throws LF_DATA_FILE_MISSING, LF_DATA_FOLDER_EMPTY
 */
export async function checkData(
  context: CheckContext,
  { paths, chatTemplate }: Pick<DataOptions, 'paths' | 'chatTemplate'>,
): Promise<void> {
  await dataFiles(paths.filter((path) => !context.comesLater(path)).map((path) => context.resolvePath(path)));
  if (chatTemplate === undefined || chatTemplate === 'chatml' || context.comesLater(chatTemplate)) return;
  const path = context.resolvePath(chatTemplate);
  await stat(path).catch((cause: unknown) => {
    throw dataErrors.LF_DATA_FILE_MISSING({ path }, { cause });
  });
}
