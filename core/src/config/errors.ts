import { defineErrors } from '../kernel/errors.js';

const at = (where: string | undefined) => (where ? `${where}: ` : '');

/** Everything that can be wrong with a config. `where` is "file:line:column", or what overrode the value. */
export const configErrors = defineErrors({
  CONFIG_NOT_FOUND: {
    message: (a: { path: string }) => `there is no config file ${a.path}`,
    remedy: () => 'Check the path, or make a config with `largeforge init`.',
    exitCode: 2,
  },
  CONFIG_READ: {
    message: (a: { path: string; reason: string }) => `${a.path} could not be read: ${a.reason}`,
    remedy: () => 'Check that it is a file that you may read.',
    exitCode: 2,
  },
  CONFIG_SYNTAX: {
    message: (a: { where: string; reason: string }) => `${at(a.where)}${a.reason}`,
    remedy: () => 'Correct the syntax at this place.',
    exitCode: 2,
  },
  CONFIG_INVALID: {
    message: (a: { problems: { where?: string; path: string; text: string }[] }) =>
      a.problems.map((p) => `${at(p.where)}${p.path}: ${p.text}`).join('\n'),
    remedy: () => 'Correct these values. `largeforge schema` prints what is allowed, for your editor too.',
    exitCode: 2,
  },
  CONFIG_EXTENDS: {
    message: (a: { where: string; reason: string }) => `${at(a.where)}extends: ${a.reason}`,
    remedy: () => 'A path in extends is relative to the file that names it.',
    exitCode: 2,
  },
  CONFIG_PROFILE: {
    message: (a: { profile: string; known: string[]; hint: string }) => `there is no profile "${a.profile}".${a.hint}`,
    remedy: (a) => (a.known.length > 0 ? `Known: ${a.known.join(', ')}.` : 'This config has no profiles.'),
    exitCode: 2,
  },
  CONFIG_REFERENCE: {
    message: (a: { where?: string; path: string; reference: string; reason: string }) =>
      `${at(a.where)}${a.path}: ${a.reference}: ${a.reason}`,
    remedy: () => 'Set the variable, create the file, or give a default: ${env:NAME:-default}.',
    exitCode: 2,
  },
  CONFIG_OVERRIDE: {
    message: (a: { override: string; reason: string }) => `${a.override}: ${a.reason}`,
    remedy: () => 'An override looks like --set log.level=debug or --set pipeline[0].with.epochs=2.',
    exitCode: 2,
  },
});
