import { accessSync, constants, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { reasonOf } from '../kernel/errors.js';
import { pipelineErrors } from './errors.js';

/**
 * Refuses a folder that cannot be written to, before any work is done for it; it need not exist yet.
 * @param path absolute
 * @throws LF_OUTPUT_UNWRITABLE
 */
export function checkOutputFolder(path: string): void {
  const existing = nearestExisting(path);
  const fail = (reason: string, cause?: unknown) =>
    pipelineErrors.LF_OUTPUT_UNWRITABLE({ path, reason }, cause === undefined ? {} : { cause });
  if (!statSync(existing).isDirectory()) throw fail(`${existing === path ? 'it' : existing} is a file`);
  try {
    accessSync(existing, constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw fail(reasonOf(cause), cause);
  }
}

function nearestExisting(path: string): string {
  for (let place = path; ; place = dirname(place)) {
    if (place === dirname(place) || statSync(place, { throwIfNoEntry: false }) !== undefined) return place;
  }
}
