import { readFileSync } from 'node:fs';
import { reasonOf } from '@largeforge/core';
import { evaluateErrors } from './errors.js';

/** The content of a file of the options. */
export function readTextFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw evaluateErrors.LF_EVALUATE_FILE({ file, reason: reasonOf(cause) }, { cause });
  }
}
