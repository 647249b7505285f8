import { defineErrors } from '../kernel/errors.js';
import { didYouMean } from '../kernel/nearest.js';
import type { Problem } from './problems.js';

const at = (where: string | undefined) => (where ? `${where}: ` : '');
const list = (names: readonly string[]) => names.join(', ');

/** Everything that can be wrong with a config. `where` is "file:line:column", or what overrode the value. */
export const configErrors = defineErrors({
  LF_CONFIG_FILE_MISSING: {
    message: (a: { path: string; where?: string; nearby: readonly string[] }) =>
      `${at(a.where)}there is no config file ${a.path}.${didYouMean(a.path, a.nearby)}`,
    remedy: () => 'Correct the path, or make a config with `largeforge init`.',
    exitCode: 2,
  },
  LF_CONFIG_AMBIGUOUS: {
    message: (a: { folder: string; files: readonly string[] }) => `${a.folder} has ${list(a.files)}: which one holds?`,
    remedy: () => 'Keep one of them, or name it with --config.',
    exitCode: 2,
  },
  LF_CONFIG_READ: {
    message: (a: { path: string; reason: string }) => `${a.path} could not be read: ${a.reason}`,
    remedy: () =>
      'A config is a .yaml, .yml, .json, .ts or .mjs file that you may read and that runs without an error.',
    exitCode: 2,
  },
  LF_CONFIG_SYNTAX: {
    message: (a: { where: string; language: string; reason: string }) => `${a.where}: bad ${a.language}: ${a.reason}`,
    remedy: () =>
      'Correct the syntax at this place: indentation by spaces, quotes around text with ": " or "${" in it.',
    exitCode: 2,
  },
  LF_CONFIG_INVALID: {
    message: (a: { problems: readonly Problem[] }) => a.problems.map(describeProblem).join('\n'),
    remedy: (a) =>
      `Correct ${a.problems.length > 1 ? 'these places' : 'this place'}; \`largeforge schema\` prints what is allowed, for your editor too.`,
    exitCode: 2,
  },
  LF_CONFIG_EXTENDS: {
    message: (a: { where: string; reason: string }) => `${a.where}: extends: ${a.reason}`,
    remedy: () => 'extends is a path, or a list of paths, relative to the file that says it.',
    exitCode: 2,
  },
  LF_CONFIG_PROFILE: {
    message: (a: { profile: string; known: readonly string[] }) =>
      `there is no profile "${a.profile}".${didYouMean(a.profile, a.known)}`,
    remedy: (a) => (a.known.length > 0 ? `Profiles of this config: ${list(a.known)}.` : 'This config has no profiles.'),
    exitCode: 2,
  },
  LF_CONFIG_REFERENCE: {
    message: (a: { where: string; path: string; reference: string; reason: string }) =>
      `${a.where}: ${a.path}: ${a.reference}: ${a.reason}`,
    remedy: () => 'Give it a value (${env:NAME:-default} has one); write $${ where the text itself has a ${.',
    exitCode: 2,
  },
  LF_CONFIG_OVERRIDE: {
    message: (a: { where: string; path: string; reason: string }) => `${at(a.where)}${a.path}: ${a.reason}`,
    remedy: () => 'A list is changed by position (pipeline[0].with.epochs) or by name (pipeline.tune.with.epochs).',
    exitCode: 2,
  },
  LF_CONFIG_SET: {
    message: (a: { flag: string; reason: string }) => `${a.flag}: ${a.reason}`,
    remedy: () => 'Such as --set log.level=debug or --set pipeline[0].with.epochs=2.',
    exitCode: 2,
  },
});

function describeProblem({ where, path, text }: Problem): string {
  return `${at(where)}${path}: ${text}`;
}
