import { defineErrors } from './errors.js';
import { didYouMean } from './nearest.js';

const list = (names: readonly string[]) => (names.length > 0 ? names.join(', ') : 'none');

/** Everything that the kernel itself can complain of. */
export const kernelErrors = defineErrors({
  HOOK_FAILED: {
    message: (a: { plugin: string; hook: string; reason: string }) => `[plugin ${a.plugin}] ${a.hook}: ${a.reason}`,
    remedy: (a) => `The fault is in ${a.plugin}: see the cause with --debug, or take the plugin out of the config.`,
  },
  HOOKS_FAILED: {
    message: (a: { hook: string; reasons: string[] }) =>
      `${a.hook}: ${a.reasons.length} observers failed: ${a.reasons.join('; ')}`,
    remedy: () => 'See the causes with --debug.',
  },
  HOOK_SEALED: {
    message: (a: { plugin: string; hook: string }) => `[plugin ${a.plugin}] taps ${a.hook} after set-up`,
    remedy: () => 'Tap hooks in setup(): their order is fixed when all plugins are set up.',
  },
  HOOK_ORDER: {
    message: (a: { hook: string; reason: string }) => `${a.hook}: ${a.reason}`,
    remedy: () => 'Correct the before and after of the taps; `largeforge inspect hooks` shows them.',
  },
  PLUGIN_INVALID: {
    message: (a: { where: string; reason: string }) => `${a.where}: ${a.reason}`,
    remedy: () => 'A plugin module exports what definePlugin() returns, as its default export.',
  },
  PLUGIN_UNKNOWN: {
    message: (a: { where: string; name: string; known: string[] }) =>
      `${a.where}: there is no plugin "${a.name}".${didYouMean(a.name, a.known)}`,
    remedy: (a) =>
      a.name.startsWith('.')
        ? 'Check the path: it is relative to the config file.'
        : `Install it (npm install ${a.name}), or correct the name. Installed: ${list(a.known)}.`,
    exitCode: 2,
  },
  PLUGIN_LOAD: {
    message: (a: { where: string; name: string; reason: string }) =>
      `${a.where}: plugin "${a.name}" could not be loaded: ${a.reason}`,
    remedy: () => 'See the cause with --debug.',
  },
  PLUGIN_DUPLICATE: {
    message: (a: { name: string; first: string; second: string }) =>
      `${a.second}: plugin "${a.name}" is listed already at ${a.first}`,
    remedy: () => 'List each plugin once; merge their options.',
    exitCode: 2,
  },
  PLUGIN_MISSING: {
    message: (a: { plugin: string; needs: string; range: string; found?: string }) =>
      `plugin "${a.plugin}" needs "${a.needs}" ${a.range}, and ${a.found ? `${a.found} is loaded` : 'the config does not list it'}`,
    remedy: (a) => (a.found ? `Install a version of "${a.needs}" within ${a.range}.` : `Add "${a.needs}" to plugins.`),
    exitCode: 2,
  },
  PLUGIN_CYCLE: {
    message: (a: { plugins: string[] }) => `these plugins need each other in a circle: ${a.plugins.join(' -> ')}`,
    remedy: () => 'Make one of the needs optional.',
  },
  PLUGIN_TIMEOUT: {
    message: (a: { plugin: string; seconds: number }) => `plugin "${a.plugin}" was not set up within ${a.seconds} s`,
    remedy: () => 'Its setup() waits for something that does not come; start slow work lazily instead.',
  },
  REGISTRY_DUPLICATE: {
    message: (a: { registry: string; id: string; plugin: string; owner: string }) =>
      `[plugin ${a.plugin}] ${a.registry} "${a.id}" is registered already by ${a.owner}`,
    remedy: () => 'Use another id, or load only one of the two plugins.',
  },
  REGISTRY_UNKNOWN: {
    message: (a: { registry: string; id: string; known: string[]; where?: string }) =>
      `${a.where ? `${a.where}: ` : ''}there is no ${a.registry} "${a.id}".${didYouMean(a.id, a.known)}`,
    remedy: (a) => `Known: ${list(a.known)}. A plugin that provides "${a.id}" must be listed in plugins.`,
    exitCode: 2,
  },
  REGISTRY_UNAVAILABLE: {
    message: (a: { registry: string; id: string; reason: string }) =>
      `${a.registry} "${a.id}" cannot be used here: ${a.reason}`,
    remedy: () => '`largeforge doctor` says what this machine has; "auto" chooses what works.',
  },
  REGISTRY_NONE: {
    message: (a: { registry: string; reasons: string[] }) =>
      `no ${a.registry} can be used here: ${a.reasons.join('; ') || 'none is registered'}`,
    remedy: () => 'Mend one of the reasons, or list a plugin that provides another.',
  },
  SERVICE_UNKNOWN: {
    message: (a: { key: string; known: string[] }) =>
      `no plugin provides the service "${a.key}".${didYouMean(a.key, a.known)}`,
    remedy: (a) => `List a plugin that provides it. Provided: ${list(a.known)}.`,
  },
  SERVICE_DUPLICATE: {
    message: (a: { key: string; plugin: string; owner: string }) =>
      `[plugin ${a.plugin}] the service "${a.key}" is provided already by ${a.owner}`,
    remedy: () => 'Load only one of the two plugins.',
  },
  DISPOSE_FAILED: {
    message: (a: { reasons: string[] }) => `shutting down: ${a.reasons.join('; ')}`,
    remedy: () => 'Everything else was shut down; see the causes with --debug.',
  },
});
