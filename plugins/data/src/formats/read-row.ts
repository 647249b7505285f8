import type { z } from 'zod';
import { type DatasetFormat, type Example, type ReadingOptions, RowError, renameColumns } from './format.js';

/** A row that cannot be used, and why. */
export interface RejectedRow {
  /** Index of the row in its file, from 1. */
  readonly row: number;
  /** Line of the file where the row begins, from 1. */
  readonly line: number;
  /** Path of the field: `conversations[2].value`; empty for the whole row. */
  readonly field: string;
  readonly reason: string;
}

interface RowProblem {
  readonly field: string;
  readonly reason: string;
}

export type RowReading = { readonly examples: Example[] } | RowProblem;

/** Parses and validates the text of one row. Never throws for what the row contains. */
export function readRow(text: string, format: DatasetFormat, options: ReadingOptions): RowReading {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { field: '', reason: `not valid JSON: ${(error as Error).message}` };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { field: '', reason: `expected an object, found ${describe(value)}` };
  }
  const renamed = renameColumns(value, options.columns);
  const parsed = format.schema.safeParse(renamed);
  if (!parsed.success) {
    return firstIssue(parsed.error.issues);
  }
  try {
    return { examples: format.examples(parsed.data, options) };
  } catch (error) {
    if (error instanceof RowError) return { field: error.field, reason: error.reason };
    throw error;
  }
}

/** The first issue; of a union, the one that got furthest into the value. */
function firstIssue(issues: readonly z.core.$ZodIssue[], prefix: readonly PropertyKey[] = []): RowProblem {
  const issue = issues[0];
  if (!issue) return { field: '', reason: 'invalid' };
  const path = [...prefix, ...issue.path];
  if (issue.code === 'invalid_union') {
    const nested = issue.errors.map((branch) => branch[0]).filter((inner) => inner !== undefined);
    nested.sort((a, b) => b.path.length - a.path.length);
    if (nested[0] && nested[0].path.length > 0) return firstIssue(nested, path);
    const expected = nested.flatMap((inner) => (inner.code === 'invalid_type' ? [inner.expected] : []));
    if (expected.length > 0)
      return { field: fieldPath(path), reason: `expected ${[...new Set(expected)].join(' or ')}` };
  }
  return { field: fieldPath(path), reason: issue.message };
}

function fieldPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    return text === '' ? String(key) : `${text}.${String(key)}`;
  }, '');
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  return value === null ? 'null' : `a ${typeof value}`;
}
