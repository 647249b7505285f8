import type { z } from 'zod';
import type { CommandDefinition } from '../cli/command.js';
import type { EventBus } from '../events/events.js';
import type { BaseContext, Logger, PluginDefinition } from '../kernel/plugin.js';
import type { LifecycleRegistries } from '../lifecycle/registries.js';
import type { LifecycleHooks } from '../lifecycle/stages.js';
import type { ConfigReader } from '../lifecycle/step-runner.js';
import type { CommandContext } from './command-context.js';

/** What a plugin sees of the config. */
export interface PluginConfig extends ConfigReader {
  /** The folder that relative paths start from. */
  readonly baseDir: string;
  /**
   * Declares that a value may change while the program runs; `onChange` gets the new one. A path that starts with a dot
   * is of the plugin's own options (`.limits.queue`). Options whose schema is marked `reloadable()` need no listener.
   */
  reloadable(path: string, onChange: (value: unknown) => void | Promise<void>): void;
}

/** What a plugin works with in its setup: the kernel's part, and what LargeForge adds to it. */
export interface PluginContext extends BaseContext<LifecycleHooks, LifecycleRegistries> {
  readonly commands: { add(command: CommandDefinition<CommandContext>): void };
  readonly log: Logger;
  readonly events: EventBus;
  readonly config: PluginConfig;
}

export type Plugin<Options extends z.ZodType = z.ZodType> = PluginDefinition<PluginContext, Options>;

/** Declares a plugin; what it returns is the default export of the plugin's module. */
export function definePlugin<Options extends z.ZodType>(plugin: Plugin<Options>): Plugin<Options> {
  return plugin;
}
