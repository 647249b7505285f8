import type { z } from 'zod';
import type { CommandDefinition } from '../cli/command.js';
import type { ConfigView } from '../config/reload.js';
import type { EventBus } from '../events/events.js';
import type { BaseContext, PluginDefinition } from '../kernel/plugin.js';
import type { LifecycleRegistries } from '../lifecycle/contracts.js';
import type { LifecycleHooks } from '../lifecycle/stages.js';
import type { CommandContext } from './application.js';

/** What a plugin works with in its setup: the kernel's part, and what LargeForge adds to it. */
export interface PluginContext extends BaseContext<LifecycleHooks, LifecycleRegistries> {
  readonly commands: { add(command: CommandDefinition<CommandContext>): void };
  readonly events: EventBus;
  readonly config: ConfigView;
}

export type Plugin<Options extends z.ZodType = z.ZodType> = PluginDefinition<PluginContext, Options>;

/** Declares a plugin; what it returns is the default export of the plugin's module. */
export function definePlugin<Options extends z.ZodType>(plugin: Plugin<Options>): Plugin<Options> {
  return plugin;
}
