import type { z } from 'zod';
import type { Tappable } from './hooks.js';
import type { RegistryView } from './registry.js';
import type { ServicesView } from './services.js';

/** The version of the plugin interface that this kernel speaks. */
export const API_VERSION = 1;

/** Structured logging, as pino has it. */
export interface Logger {
  debug(fields: object, message?: string): void;
  debug(message: string): void;
  info(fields: object, message?: string): void;
  info(message: string): void;
  warn(fields: object, message?: string): void;
  warn(message: string): void;
  error(fields: object, message?: string): void;
  error(message: string): void;
  child(fields: Record<string, unknown>): Logger;
}

/** A record of the hooks of one lifecycle: stage -> hook -> its type. */
export type HookShape = Record<string, Record<string, { value: unknown; result: unknown }>>;

export type HookFacades<S> = {
  readonly [Stage in keyof S]: {
    readonly [Name in keyof S[Stage]]: S[Stage][Name] extends { value: infer A; result: infer R }
      ? Tappable<A, R>
      : never;
  };
};

export type RegistryFacades<R> = { readonly [Name in keyof R]: RegistryView<R[Name]> };

/** What a plugin works with in its setup. */
export interface BaseContext<S, R> {
  readonly plugin: { readonly name: string; readonly version: string };
  readonly hooks: HookFacades<S>;
  readonly registries: RegistryFacades<R>;
  readonly services: ServicesView;
  /** Aborted when the process is asked to end: stop soon and keep what is done. */
  readonly signal: AbortSignal;
  /** Runs when the kernel shuts down, the last registered first. */
  onDispose(fn: () => void | Promise<void>): void;
  readonly log: Logger;
}

export interface PluginDefinition<Context, Options extends z.ZodType = z.ZodType> {
  readonly name: string;
  readonly version: string;
  readonly apiVersion: typeof API_VERSION;
  /** Plugins that must be loaded too: name -> semver range. They are set up earlier. */
  readonly requires?: Readonly<Record<string, string>>;
  /** Plugins that are set up earlier when they are loaded. */
  readonly optional?: Readonly<Record<string, string>>;
  readonly options: Options;
  setup(context: Context, options: z.output<Options>): void | Promise<void>;
}

/** A plugin whose option type does not matter to the reader. */
// biome-ignore lint/suspicious/noExplicitAny: the options of any schema; they are parsed before setup sees them.
export type AnyPlugin<Context> = PluginDefinition<Context, any>;
