import { isLargeForgeError } from '../../kernel/errors.js';
import type { Paint } from './colors.js';

/** What the command line reads from an error of the table; others have only a message. */
interface TableError extends Error {
  readonly code?: unknown;
  readonly remedy?: unknown;
  readonly exitCode?: unknown;
}

/** The exit code of an error: its table's, or 1. */
export function exitCodeOf(error: unknown): number {
  const { exitCode } = (error ?? {}) as TableError;
  return typeof exitCode === 'number' ? exitCode : 1;
}

/**
 * An error as people read it: code, what happened, what to do. A stack is never shown, but for the causes when `debug`
 * is set.
 */
export function describeError(error: unknown, options: { debug: boolean; paint: Paint }): string {
  const { debug, paint } = options;
  const lines: string[] = [];
  const { code, message, remedy } = asTableError(error);
  lines.push(`${paint('red', 'error')} ${code ? `${paint('bold', code)}: ` : ''}${message}`);
  if (remedy)
    lines.push(...remedy.split('\n').map((line, i) => `${i === 0 ? '  what to do: ' : '              '}${line}`));
  else if (!code)
    lines.push('  what to do: this is a defect of the program or a plugin; --debug shows where it comes from');
  if (debug) {
    for (let cause: unknown = error, depth = 0; cause instanceof Error && depth < 10; cause = cause.cause, depth++) {
      lines.push(paint('dim', `${depth === 0 ? '' : 'caused by '}${cause.stack ?? cause.message}`));
    }
  } else if (error instanceof Error && error.cause !== undefined) {
    lines.push(paint('dim', '  (--debug shows the cause)'));
  }
  return lines.join('\n');
}

/** An error as a record for `--log json`. */
export function errorRecord(error: unknown, debug: boolean): Record<string, unknown> {
  const { code, message, remedy } = asTableError(error);
  const causes: string[] = [];
  for (let cause = error instanceof Error ? error.cause : undefined; cause instanceof Error; cause = cause.cause) {
    causes.push(cause.message);
  }
  return {
    type: 'error',
    ...(code && { code }),
    message,
    ...(remedy && { remedy }),
    exitCode: exitCodeOf(error),
    ...(debug && causes.length > 0 && { causes }),
  };
}

function asTableError(error: unknown): { code?: string; message: string; remedy?: string } {
  if (!(error instanceof Error)) return { message: String(error) };
  // Codes of the system (ENOENT) are no codes of the table: nothing tells what to do about them.
  if (!isLargeForgeError(error)) return { message: error.message };
  const { message, code, remedy } = error;
  return { message, code, ...(remedy && { remedy }) };
}
