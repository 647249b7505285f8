import { readFileSync } from 'node:fs';
import { reasonOf } from '@largeforge/core';
import { z } from 'zod';
import { routerErrors } from '../errors.js';

/** A query and the expert that should answer it; null is none of them. */
export interface RoutedText {
  readonly text: string;
  readonly expert: string | null;
}

const rowSchema = z.object({ text: z.string().min(1), expert: z.string().min(1).nullable() });

/** Reads JSON Lines of {"text", "expert"}; other fields are left alone. Throws LF_ROUTER_ROWS_FILE with the line. */
export function readRows(file: string): RoutedText[] {
  let content: string;
  try {
    content = readFileSync(file, 'utf8');
  } catch (error) {
    throw routerErrors.LF_ROUTER_FILE_UNREADABLE({ file, reason: reasonOf(error) }, { cause: error });
  }
  return content.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return [];
    const fail = (reason: string) => routerErrors.LF_ROUTER_ROWS_FILE({ file, line: index + 1, reason });
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      throw fail(`this is no JSON: ${reasonOf(error)}`);
    }
    const row = rowSchema.safeParse(value);
    if (!row.success) {
      throw fail(row.error.issues.map(({ path, message }) => `${path.join('.') || 'row'}: ${message}`).join('; '));
    }
    return [{ text: row.data.text, expert: row.data.expert }];
  });
}

/**
 * Splits rows into those to learn from and those to hold out, each expert's in the same proportion. Which row goes where
 * depends on its text alone, so that a row added to a file moves no other, and equal texts stay together.
 */
export function splitRows(
  rows: readonly RoutedText[],
  share: number,
): { train: RoutedText[]; validation: RoutedText[] } {
  const byExpert = new Map<string | null, RoutedText[]>();
  for (const row of rows) byExpert.set(row.expert, [...(byExpert.get(row.expert) ?? []), row]);
  const train: RoutedText[] = [];
  const validation: RoutedText[] = [];
  for (const own of byExpert.values()) {
    const texts = [...new Set(own.map(({ text }) => text))].sort(
      (a, b) => fraction(a) - fraction(b) || (a < b ? -1 : 1),
    );
    // An expert's only text is learned.
    const held = new Set(texts.slice(0, Math.min(texts.length - 1, Math.round(texts.length * share))));
    for (const row of own) (held.has(row.text) ? validation : train).push(row);
  }
  return { train, validation };
}

/** A number in [0, 1) that depends on a text alone (FNV-1a). */
function fraction(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  return ((h ^ (h >>> 13)) >>> 0) / 2 ** 32;
}
