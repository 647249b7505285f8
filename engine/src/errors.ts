/**
 * An error of the engine: what happened (message), and what to do about it (remedy). It has the shape of the kernel's
 * errors, so that a caller tells them by `code` without knowing which package threw.
 */
export class EngineError extends Error {
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

/** How one error reads. `exitCode` is that of the command line; 1 unless given. */
export interface ErrorTemplate<A> {
  message: (args: A) => string;
  remedy: (args: A) => string;
  exitCode?: number;
}

/** What a message takes; the remedy gets the same. */
type Arguments<E> = E extends { message: (...args: infer P) => string } ? P : never;

type ErrorMakers<T> = {
  [K in keyof T]: Arguments<T[K]> extends [infer A]
    ? (args: A, options?: { cause?: unknown }) => EngineError
    : (args?: undefined, options?: { cause?: unknown }) => EngineError;
};

/**
 * Makes the errors of one table: `defineEngineErrors({CLOSED: {message, remedy}})` gives `CLOSED(args)`, an error whose
 * code is `LF_ENGINE_CLOSED`. The arguments are kept as the error's `details`.
 */
// biome-ignore lint/suspicious/noExplicitAny: each entry has its own argument type, which the mapped type recovers.
export function defineEngineErrors<T extends Record<string, ErrorTemplate<any>>>(table: T): ErrorMakers<T> {
  const makers: Record<string, (args: unknown, options?: { cause?: unknown }) => EngineError> = {};
  for (const [key, template] of Object.entries(table)) {
    makers[key] = (args, options) =>
      new EngineError(
        `LF_ENGINE_${key}`,
        template.message(args),
        template.remedy(args),
        template.exitCode ?? 1,
        typeof args === 'object' && args !== null ? { ...args } : {},
        options,
      );
  }
  return makers as ErrorMakers<T>;
}

/** Whether something thrown is an error of the given code, from whichever package. */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && (error as { code?: unknown }).code === code;
}
