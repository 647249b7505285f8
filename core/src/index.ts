/** The public surface of the core: what plugins and embedding programs use. */

export {
  Application,
  type ApplicationOptions,
  builtInConfig,
  type OwnedCommand,
} from './application/application.js';
export type { CommandContext, StepRequest } from './application/command-context.js';
export { definePlugin, type Plugin, type PluginConfig, type PluginContext } from './application/context.js';
export type { PluginModules } from './application/plugin-loader.js';
export * from './cli/index.js';
export type { ConfigEntry } from './config/describe.js';
export { configErrors } from './config/errors.js';
export { findConfigFile, type LoadedConfig, type LoadOptions, loadConfig } from './config/load.js';
export { type ConfigPath, formatPath, parsePath } from './config/path.js';
export { type PipelineStep, type RootConfig, reloadable, secret } from './config/schema.js';
export { isSecretName, maskSecretKeys, Secrets } from './config/secrets.js';
export { pathOrName, resolveUserPath } from './config/user-path.js';
export {
  EventBus,
  type EventListener,
  type RunEvent,
  type RunEventOf,
  type RunEventType,
} from './events/events.js';
export {
  type ActionableError,
  defineErrors,
  type ErrorMakers,
  isLargeForgeError,
  LargeForgeError,
  reasonOf,
} from './kernel/errors.js';
export type { BailAnswer, Firing, FiringHooks, HookKind, TapOptions, Tappable } from './kernel/hook-definition.js';
export type { HookDescription } from './kernel/kernel.js';
export { didYouMean, nearest } from './kernel/nearest.js';
export { API_VERSION, type Logger } from './kernel/plugin.js';
export type { AutoChoice, Probe, RegistryEntry, RegistryView } from './kernel/registry.js';
export type { ServicesView } from './kernel/services.js';
export type * from './lifecycle/config-contract.js';
export type * from './lifecycle/diagnosis.js';
export type * from './lifecycle/plan-contract.js';
export type * from './lifecycle/registries.js';
export type * from './lifecycle/serve-contract.js';
export { type LifecycleHooks, lifecycleHooks, type Refusal } from './lifecycle/stages.js';
export {
  type AnyStepRunner,
  type CheckContext,
  type ConfigReader,
  defineStepRunner,
  type StepContext,
  type StepRunner,
} from './lifecycle/step-runner.js';
export type * from './lifecycle/train-contract.js';
export type { LogDestination } from './log/log.js';
export { Interrupts } from './pipeline/interrupts.js';
export { checkOutputFolder } from './pipeline/output-folder.js';
export type { PipelineOptions, PipelineOutcome } from './pipeline/run.js';
