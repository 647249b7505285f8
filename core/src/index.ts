/** The public surface of the core: what plugins and embedding programs use. */

export {
  Application,
  type ApplicationOptions,
  builtInConfig,
  type CommandContext,
  type StepRequest,
} from './application/application.js';
export { definePlugin, type Plugin, type PluginContext } from './application/context.js';
export { collect, integerBetween, numberBetween } from './cli/arguments.js';
export type { CommandArgument, CommandArguments, CommandDefinition, CommandOption } from './cli/command.js';
export { findConfigFile, type LoadedConfig, type LoadOptions, loadConfig } from './config/load.js';
export { type ConfigPath, formatPath, parsePath } from './config/path.js';
export type { ConfigView } from './config/reload.js';
export { type PipelineStep, type RootConfig, reloadable, secret } from './config/schema.js';
export { EventBus, type EventListener, type RunEvent } from './events/events.js';
export { type ActionableError, defineErrors, isLargeForgeError, LargeForgeError } from './kernel/errors.js';
export type { HookKind, TapOptions, Tappable } from './kernel/hooks.js';
export { didYouMean, nearest } from './kernel/nearest.js';
export type { Logger } from './kernel/plugin.js';
export type { Probe, RegistryEntry, RegistryView } from './kernel/registry.js';
export type * from './lifecycle/contracts.js';
export { type LifecycleHooks, lifecycleHooks } from './lifecycle/stages.js';
export type { PipelineOptions, PipelineOutcome } from './pipeline/pipeline.js';
