import { defineErrors } from './errors.js';
import { didYouMean } from './nearest.js';

const list = (names: readonly string[]) => (names.length > 0 ? names.join(', ') : 'none');
const at = (where: string | undefined) => (where ? `${where}: ` : '');

/** Everything that the kernel itself can complain of. `where` is the place in the config that asked for it. */
export const kernelErrors = defineErrors({
  LF_HOOK_FAILED: {
    message: (a: { plugin: string; hook: string; reason: string; where?: string }) =>
      `${at(a.where)}[plugin ${a.plugin}] ${a.hook}: ${a.reason}`,
    remedy: (a) => `The fault is in ${a.plugin}: --debug shows the cause; without the plugin the rest works.`,
  },
  LF_HOOKS_FAILED: {
    message: (a: { hook: string; reasons: string[] }) =>
      `${a.hook}: ${a.reasons.length} observers failed: ${a.reasons.join('; ')}`,
    remedy: () => 'The plugins are named above; --debug shows the causes.',
  },
  LF_HOOK_SEALED: {
    message: (a: { plugin: string; hook: string }) => `[plugin ${a.plugin}] taps ${a.hook} after set-up`,
    remedy: () => 'Tap hooks in setup(): their order is settled when all plugins are set up.',
  },
  LF_HOOK_TAP: {
    message: (a: { plugin: string; hook: string; reason: string }) => `[plugin ${a.plugin}] ${a.hook}.tap: ${a.reason}`,
    remedy: () => 'A tap is tap(fn), or tap({before, after, order}, fn).',
  },
  LF_HOOK_ORDER: {
    message: (a: { hook: string; reason: string }) => `${a.hook}: ${a.reason}`,
    remedy: () =>
      'before and after name loaded plugins, or such as the plugin lists in `optional`, and form no circle.',
  },
  LF_PLUGIN_INVALID: {
    message: (a: { where: string; reason: string }) => `${at(a.where)}${a.reason}`,
    remedy: () => 'A plugin module exports what definePlugin() returns, as its default export.',
    exitCode: 2,
  },
  LF_PLUGIN_API: {
    message: (a: { where: string; plugin: string; found: unknown; expected: number }) =>
      `${at(a.where)}plugin "${a.plugin}" has apiVersion ${JSON.stringify(a.found)}; this kernel speaks ${a.expected}`,
    remedy: (a) => `Install a version of "${a.plugin}" for this LargeForge, or a LargeForge for this plugin.`,
    exitCode: 2,
  },
  LF_CONFIG_UNKNOWN_PLUGIN: {
    message: (a: { where: string; name: string; known: readonly string[]; searched: readonly string[] }) =>
      `${at(a.where)}there is no plugin "${a.name}".${didYouMean(a.name, a.known)}`,
    remedy: (a) =>
      /^[./]/.test(a.name)
        ? `Correct the path: looked for ${a.searched.join(', ')}.`
        : `Correct the name or install it (npm install ${a.name}). Installed: ${list(a.known)}.`,
    exitCode: 2,
  },
  LF_PLUGIN_LOAD: {
    message: (a: { where: string; name: string; reason: string }) =>
      `${at(a.where)}plugin "${a.name}" could not be loaded: ${a.reason}`,
    remedy: () => 'Mend the module (not built yet? its own imports missing?); --debug shows the cause.',
  },
  LF_PLUGIN_DUPLICATE: {
    message: (a: { name: string; first: string; second: string }) =>
      `${at(a.second)}plugin "${a.name}" is listed already${a.first ? ` (${a.first})` : ''}`,
    remedy: () => 'List each plugin once.',
    exitCode: 2,
  },
  LF_PLUGIN_MISSING: {
    message: (a: { plugin: string; needs: string; range: string; found?: string; where: string; loaded: string[] }) =>
      `${at(a.where)}plugin "${a.plugin}" needs "${a.needs}" ${a.range}, and ${
        a.found ? `${a.found} is loaded` : `the config does not list it.${didYouMean(a.needs, a.loaded)}`
      }`,
    remedy: (a) => (a.found ? `Install "${a.needs}" ${a.range}.` : `Add "${a.needs}" to plugins.`),
    exitCode: 2,
  },
  LF_PLUGIN_CYCLE: {
    message: (a: { plugins: string[] }) => `these plugins need each other in a circle: ${a.plugins.join(' -> ')}`,
    remedy: () => 'One of them must do without the other.',
    exitCode: 2,
  },
  LF_PLUGIN_TIMEOUT: {
    message: (a: { plugin: string; phase: 'setup' | 'dispose'; seconds: number }) =>
      `[plugin ${a.plugin}] ${a.phase}: not finished after ${a.seconds} s`,
    remedy: () => 'It waits for something that does not come; slow work belongs into a service or a registry entry.',
  },
  LF_REGISTRY_ID: {
    message: (a: { registry: string; id: string; plugin: string }) =>
      `[plugin ${a.plugin}] ${a.registry} id ${JSON.stringify(a.id)} is not lower-case words joined by "-"`,
    remedy: () => 'Ids are typed into configs: keep them like "merge-lora".',
  },
  LF_REGISTRY_DUPLICATE: {
    message: (a: { registry: string; id: string; plugin: string; owner: string }) =>
      `[plugin ${a.plugin}] ${a.registry} "${a.id}" is registered already by ${a.owner}`,
    remedy: () => 'Use another id, or load only one of the two plugins.',
  },
  LF_REGISTRY_SEALED: {
    message: (a: { registry: string; id: string; plugin: string }) =>
      `[plugin ${a.plugin}] adds ${a.registry} "${a.id}" after set-up`,
    remedy: () => 'Add entries in setup(); what is costly belongs into their load().',
  },
  LF_REGISTRY_UNKNOWN: {
    message: (a: { registry: string; id: string; known: string[]; where?: string }) =>
      `${at(a.where)}there is no ${a.registry} "${a.id}".${didYouMean(a.id, a.known)}`,
    remedy: (a) => `Known: ${list(a.known)}. The plugin that provides another must be listed in plugins.`,
    exitCode: 2,
  },
  LF_REGISTRY_UNAVAILABLE: {
    message: (a: { registry: string; id: string; reason: string; where?: string }) =>
      `${at(a.where)}${a.registry} "${a.id}" cannot be used here: ${a.reason}`,
    remedy: () => '`largeforge doctor` says what this machine has; "auto" takes the first that works.',
  },
  LF_REGISTRY_LOAD: {
    message: (a: { registry: string; id: string; plugin: string; reason: string }) =>
      `[plugin ${a.plugin}] ${a.registry} "${a.id}" could not be loaded: ${a.reason}`,
    remedy: (a) => `The fault is in ${a.plugin}; --debug shows the cause.`,
  },
  LF_REGISTRY_NONE: {
    message: (a: { registry: string; reasons: string[] }) =>
      `no ${a.registry} can be used here: ${a.reasons.join('; ') || 'none is registered'}`,
    remedy: (a) => `Mend one of the reasons, or list a plugin that provides a ${a.registry}.`,
  },
  LF_SERVICE_UNKNOWN: {
    message: (a: { key: string; known: string[] }) =>
      `no plugin provides the service "${a.key}".${didYouMean(a.key, a.known)}`,
    remedy: (a) => `List a plugin that provides it. Provided: ${list(a.known)}.`,
  },
  LF_SERVICE_DUPLICATE: {
    message: (a: { key: string; plugin: string; owner: string }) =>
      `[plugin ${a.plugin}] the service "${a.key}" is provided already by ${a.owner}`,
    remedy: () => 'Load only one of the two plugins.',
  },
  LF_SERVICE_CYCLE: {
    message: (a: { keys: string[] }) => `these services wait for each other: ${a.keys.join(' -> ')}`,
    remedy: () => 'One of them must get the other when it is used, not when it is made.',
  },
  LF_SERVICE_FAILED: {
    message: (a: { key: string; plugin: string; reason: string }) =>
      `[plugin ${a.plugin}] service "${a.key}": ${a.reason}`,
    remedy: (a) => `The fault is in ${a.plugin}; --debug shows the cause.`,
  },
  LF_TRACE_UNWRITABLE: {
    message: (a: { path: string; reason: string }) => `the trace cannot be written to ${a.path}: ${a.reason}`,
    remedy: () => 'Name a file in a folder that can be written to: --trace trace.json.',
  },
  LF_DISPOSE_FAILED: {
    message: (a: { reasons: string[] }) => `shutting down: ${a.reasons.join('; ')}`,
    remedy: () => 'Everything else was shut down; --debug shows the causes.',
  },
});
