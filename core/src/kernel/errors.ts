/** An error that a user can act on. Packages tell errors apart by `code`, never by class. */
export class LargeForgeError extends Error {
  override readonly name = 'LargeForgeError';

  constructor(
    readonly code: string,
    message: string,
    readonly remedy: string,
    readonly exitCode: number,
    readonly details: Record<string, unknown>,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/** How one error of a table reads. */
export interface ErrorTemplate<A> {
  message: (args: A) => string;
  /** What to do about it. */
  remedy: (args: A) => string;
  /** Of the command line; 1 unless given. */
  exitCode?: number;
}

/** What a message takes; the remedy gets the same. */
type Arguments<E> = E extends { message: (...args: infer P) => string } ? P : never;

export type ErrorMakers<T> = {
  [K in keyof T]: Arguments<T[K]> extends [infer A]
    ? (args: A, options?: { cause?: unknown }) => LargeForgeError
    : (args?: undefined, options?: { cause?: unknown }) => LargeForgeError;
};

/**
 * Makes the errors of a table. The keys are the codes: `defineErrors({LF_DATA_MISSING: {message, remedy}})` gives
 * `LF_DATA_MISSING(args)`. The arguments are kept as the error's details.
 */
// biome-ignore lint/suspicious/noExplicitAny: each entry has its own argument type, which the mapped type recovers.
export function defineErrors<T extends Record<`LF_${string}`, ErrorTemplate<any>>>(table: T): ErrorMakers<T> {
  const makers: Record<string, (args: unknown, options?: { cause?: unknown }) => LargeForgeError> = {};
  for (const [code, template] of Object.entries(table)) {
    if (!code.startsWith('LF_')) throw new Error(`the error code ${code} does not start with LF_`);
    makers[code] = (args, options) =>
      new LargeForgeError(
        code,
        template.message(args),
        template.remedy(args),
        template.exitCode ?? 1,
        typeof args === 'object' && args !== null ? { ...args } : {},
        options,
      );
  }
  return makers as ErrorMakers<T>;
}

/** The shape that every package's errors share. */
export interface ActionableError extends Error {
  readonly code: string;
  readonly remedy: string;
  readonly exitCode: number;
}

/** Whether something thrown carries a code and a remedy, from whichever package it came. */
export function isLargeForgeError(error: unknown): error is ActionableError {
  const candidate = error as Partial<ActionableError> | undefined;
  if (!(error instanceof Error)) return false;
  return (
    typeof candidate?.code === 'string' && candidate.code.startsWith('LF_') && typeof candidate.remedy === 'string'
  );
}

/** The same error, saying where it happened: code, remedy and exit code stay. */
export function placeError(error: ActionableError, place: string): LargeForgeError {
  const { code, message, remedy, exitCode } = error;
  const { details = {} } = error as { details?: Record<string, unknown> };
  return new LargeForgeError(code, `${place}: ${message}`, remedy, exitCode ?? 1, details, { cause: error });
}

/** What is said of something that was thrown. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
