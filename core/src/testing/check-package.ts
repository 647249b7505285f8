import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plugin } from '../application/context.js';
import { PLUGIN_KEYWORD } from '../application/plugin-loader.js';
import { reasonOf } from '../kernel/errors.js';
import { satisfies } from '../kernel/version-range.js';

interface Manifest {
  readonly name?: unknown;
  readonly version?: unknown;
  readonly description?: unknown;
  readonly type?: unknown;
  readonly keywords?: unknown;
  readonly exports?: unknown;
  readonly files?: unknown;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/**
 * What is wrong with the package that a plugin is published as, one line each; none is an empty list.
 * @param folder of its package.json: a path, or a `file:` URL such as `new URL('..', import.meta.url)`
 * @param coreVersion of the core that it is tried with; its range must take it
 */
export function checkPackage(plugin: Plugin, folder: string | URL, coreVersion?: string): string[] {
  const path = typeof folder === 'string' ? folder : fileURLToPath(folder);
  let manifest: Manifest;
  try {
    manifest = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as Manifest;
  } catch (error) {
    return [`package.json: ${reasonOf(error)}`];
  }
  const problems: string[] = [];
  const expect = (holds: boolean, problem: string) => {
    if (!holds) problems.push(`package.json: ${problem}`);
  };
  const { keywords, peerDependencies = {}, dependencies = {} } = manifest;
  expect(manifest.name === plugin.name, `name is not "${plugin.name}", as the plugin calls itself`);
  expect(manifest.version === plugin.version, `version is not ${plugin.version}, as the plugin says`);
  expect(manifest.type === 'module', 'type is not "module"');
  expect(Boolean(manifest.description), 'there is no description');
  expect(
    Array.isArray(keywords) && keywords.includes(PLUGIN_KEYWORD),
    `keywords lack "${PLUGIN_KEYWORD}", by which plugins are found`,
  );
  problems.push(...entryProblems(manifest, path));
  const core = peerDependencies['@largeforge/core'];
  expect(core !== undefined, '@largeforge/core is no peer dependency: a second copy of the kernel could be installed');
  if (core !== undefined && coreVersion !== undefined) {
    expect(satisfies(coreVersion, core), `@largeforge/core ${core} does not take ${coreVersion}`);
  }
  for (const name of Object.keys(plugin.requires ?? {})) {
    expect(name in peerDependencies || name in dependencies, `${name}, which the plugin requires, is no dependency`);
  }
  if (!existsSync(join(path, 'README.md'))) problems.push('there is no README.md');
  return problems;
}

/** Whoever installs the package must be able to import it, with its types. */
function entryProblems({ exports, files }: Manifest, folder: string): string[] {
  const entry = (exports as Record<string, unknown> | undefined)?.['.'] ?? exports;
  const targets = typeof entry === 'string' ? { default: entry } : (entry as Record<string, unknown> | undefined);
  const file = targets?.import ?? targets?.default;
  if (typeof file !== 'string') return ['package.json: exports has no "." with a default'];
  const problems: string[] = [];
  if (typeof targets?.types !== 'string') problems.push('package.json: exports["."] has no types');
  for (const target of [file, targets?.types].filter((each) => typeof each === 'string')) {
    if (!existsSync(join(folder, target))) problems.push(`${target} does not exist: is the package built?`);
    const published =
      files === undefined ||
      (Array.isArray(files) && files.some((each) => join(target).startsWith(join(String(each).replace(/\*.*$/, '')))));
    if (!published) problems.push(`package.json: files leave out ${target}`);
  }
  return problems;
}
