import { z } from 'zod';
import type { Plugin } from '../application/context.js';
import { satisfies } from '../kernel/version-range.js';

/** A plugin that adds fakes of what others would provide. */
export function fakesPlugin(
  services: Readonly<Record<string, unknown>>,
  registries: Readonly<Record<string, Readonly<Record<string, unknown>> | undefined>>,
): Plugin {
  return {
    name: 'test-fakes',
    version: '0.0.0',
    apiVersion: 1,
    options: z.strictObject({}),
    setup(context) {
      for (const [key, value] of Object.entries(services)) context.services.provide(key, () => value);
      const views = context.registries as unknown as Record<string, { add(id: string, entry: object): void }>;
      for (const [registry, entries = {}] of Object.entries(registries)) {
        for (const [id, value] of Object.entries(entries)) views[registry]!.add(id, { load: () => value });
      }
    },
  };
}

/** Empty plugins for those that the given ones require and that are not among them. */
export function standIns(plugins: readonly Plugin[]): Plugin[] {
  const names = new Set(plugins.map(({ name }) => name));
  const needed = new Map<string, string>();
  for (const { requires = {} } of plugins) {
    for (const [name, range] of Object.entries(requires)) if (!names.has(name)) needed.set(name, range);
  }
  return [...needed].map(([name, range]) => ({
    name,
    version: versionWithin(name, range),
    apiVersion: 1,
    options: z.strictObject({}),
    setup: () => {},
  }));
}

function versionWithin(name: string, range: string): string {
  const [, major = '1', minor = '0', patch = '0'] = /(\d+)(?:\.(\d+))?(?:\.(\d+))?/.exec(range) ?? [];
  const version = `${major}.${minor}.${patch}`;
  if (satisfies(version, range)) return version;
  throw new Error(`no stand-in for "${name}" ${range} can be made: give the plugin itself in \`plugins\``);
}
