/**
 * How the taps of a hook work together.
 * - series: one after the other.
 * - reversed: one after the other, the last first (what is undone).
 * - waterfall: each gets what the one before returned; a tap that returns nothing leaves the value as it is.
 * - bail: one after the other, until one answers.
 * - observers: all at once; every failure is reported.
 * - sync: observers of what happens often, called at once and never awaited.
 */
export type HookKind = 'series' | 'reversed' | 'waterfall' | 'bail' | 'observers' | 'sync';

/** One hook of a lifecycle: its kind, what it is for, and (as a type only) what it carries and what taps may answer. */
export interface HookDefinition<Kind extends HookKind = HookKind, Value = unknown, Answer = unknown> {
  readonly kind: Kind;
  readonly summary: string;
  readonly types?: { readonly value: Value; readonly answer: Answer };
}

/** All hooks of a lifecycle: stage -> hook. */
export type HookTable = Readonly<Record<string, Readonly<Record<string, HookDefinition>>>>;

const define =
  <Kind extends HookKind>(kind: Kind) =>
  <Value, Answer = void>(summary: string): HookDefinition<Kind, Value, Answer> => ({ kind, summary });

export const series = define('series');
export const reversed = define('reversed');
export const waterfall = define('waterfall');
export const bail = define('bail');
export const observers = define('observers');
export const sync = define('sync');

type Eventually<T> = T | Promise<T>;

/** The function that a plugin gives to a hook. */
export type TapFunction<D> =
  D extends HookDefinition<infer Kind, infer Value, infer Answer>
    ? Kind extends 'waterfall'
      ? // biome-ignore lint/suspicious/noConfusingVoidType: a tap that returns nothing leaves the value as it is
        (value: Value) => Eventually<Value | undefined | void>
      : Kind extends 'bail'
        ? // biome-ignore lint/suspicious/noConfusingVoidType: a tap that returns nothing has no answer
          (value: Value) => Eventually<Answer | undefined | void>
        : Kind extends 'sync'
          ? // biome-ignore lint/suspicious/noConfusingVoidType: `void` alone would let an async function pass
            (value: Value) => undefined | void
          : (value: Value) => Eventually<void>
    : never;

/** Where a tap stands among the others of its hook. */
export interface TapOptions {
  /** Plugins before whose taps this one runs. */
  readonly before?: string | readonly string[];
  /** Plugins after whose taps this one runs. */
  readonly after?: string | readonly string[];
  /** Among taps that before and after leave free: `pre` runs early, `post` late, others in the order of the plugins. */
  readonly order?: 'pre' | 'post';
}

/** What a plugin sees of a hook: it can tap it and cannot fire it. */
export interface Tappable<D> {
  tap(fn: TapFunction<D>): void;
  tap(options: TapOptions, fn: TapFunction<D>): void;
}

/** The answer of a bail hook, and whose it is. */
export interface BailAnswer<Answer> {
  readonly plugin: string;
  readonly answer: Answer;
}

/** What fires a hook. Series and observers resolve when all taps ran, a waterfall with the last value. */
export interface Firing<D> {
  fire: D extends HookDefinition<infer Kind, infer Value, infer Answer>
    ? Kind extends 'waterfall'
      ? (value: Value) => Promise<Value>
      : Kind extends 'bail'
        ? (value: Value) => Promise<BailAnswer<Answer> | undefined>
        : Kind extends 'sync'
          ? (value: Value) => void
          : (value: Value) => Promise<void>
    : never;
  /** Whether anything has tapped it: spares making a value that nobody reads. */
  readonly used: boolean;
}

export type TappableHooks<H> = {
  readonly [Stage in keyof H]: { readonly [Name in keyof H[Stage]]: Tappable<H[Stage][Name]> };
};

export type FiringHooks<H> = {
  readonly [Stage in keyof H]: { readonly [Name in keyof H[Stage]]: Firing<H[Stage][Name]> };
};
