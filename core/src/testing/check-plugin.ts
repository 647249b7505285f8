import type { z } from 'zod';
import type { Plugin } from '../application/context.js';
import { buildProgram } from '../cli/program.js';
import { jsonSchemaOf } from '../config/schema-paths.js';
import { reasonOf } from '../kernel/errors.js';
import { checkPluginShape } from '../kernel/plugin.js';
import { stageRegistry } from '../lifecycle/registries.js';
import { type PluginTest, type PluginTestOptions, testPlugin } from './plugin-test.js';

const UNKNOWN_KEY = 'thisOptionDoesNotExist';

/** Handles that keep a process alive when a plugin forgets them. */
const HANDLES = ['TCPServerWrap', 'PipeWrap', 'FSEventWrap', 'ProcessWrap', 'TCPSocketWrap', 'MessagePort'];

/**
 * What a plugin gets wrong of its contract, one line each; none is an empty list. It is set up twice, as a program may
 * do, its entries are loaded, and it is shut down.
 */
export async function checkPlugin(plugin: Plugin, options: PluginTestOptions = {}): Promise<string[]> {
  const problems = [...shapeProblems(plugin)];
  if (problems.length > 0) return problems;
  problems.push(...schemaProblems('options', plugin.options, options.options ?? {}));
  const handles = countHandles();
  for (const time of ['first', 'second'] as const) {
    try {
      problems.push(...(await setUpAndCheck(plugin, options, time)));
    } catch (error) {
      problems.push(`the ${time} setup failed: ${reasonOf(error)}`);
    }
  }
  await new Promise((resolve) => setTimeout(resolve, 50)); // handles close on the next turns of the loop
  for (const [kind, before] of handles) {
    const left = (countHandles().get(kind) ?? 0) - before;
    if (left > 0) problems.push(`${left} ${kind} left open after dispose`);
  }
  return [...new Set(problems)];
}

async function setUpAndCheck(plugin: Plugin, options: PluginTestOptions, time: 'first' | 'second'): Promise<string[]> {
  const test = await testPlugin(plugin, options);
  const problems: string[] = [];
  try {
    if (time === 'first') problems.push(...(await entryProblems(test)), ...commandProblems(test));
  } finally {
    await test.dispose().catch((error: unknown) => problems.push(`dispose failed: ${reasonOf(error)}`));
  }
  return problems;
}

function shapeProblems(plugin: Plugin): string[] {
  try {
    checkPluginShape(plugin, '');
  } catch (error) {
    return [reasonOf(error)];
  }
  const isPackageName = /^(@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/.test(plugin.name);
  return isPackageName ? [] : [`the name "${plugin.name}" is no package name`];
}

/** A schema must take good options, refuse unknown ones (a typing error would be ignored), and be writable as JSON Schema. */
function schemaProblems(what: string, schema: z.ZodType, good: unknown | undefined): string[] {
  const problems: string[] = [];
  if (good !== undefined) {
    const parsed = schema.safeParse(good);
    if (!parsed.success)
      problems.push(`${what}: the schema refuses what the test gives: ${parsed.error.issues[0]?.message}`);
  }
  const refused = schema.safeParse({ ...(good as object | undefined), [UNKNOWN_KEY]: 1 }).error?.issues ?? [];
  const seen = refused.some((issue) => issue.code === 'unrecognized_keys' || issue.code === 'invalid_union');
  if (!seen) problems.push(`${what}: an unknown key is not refused (use z.strictObject)`);
  try {
    jsonSchemaOf(schema);
  } catch (error) {
    problems.push(`${what}: no JSON Schema can be made of it: ${reasonOf(error)}`);
  }
  return problems;
}

/** Every entry that can be used here loads; what a step can use is a runner. */
async function entryProblems(test: PluginTest): Promise<string[]> {
  const problems: string[] = [];
  const runners = new Set<string>([...Object.values(stageRegistry), 'quantizer']);
  for (const [name, ids] of Object.entries(test.registered.registries)) {
    const registry = test.application.kernel.registry(name as 'trainer');
    for (const id of ids) {
      const what = `${name} "${id}"`;
      const probe = await registry.probe(id);
      if (!probe.ok && !probe.reason) problems.push(`${what}: the probe says no without a reason`);
      if (!probe.ok) continue;
      try {
        const entry = await registry.get(id);
        if (!runners.has(name)) {
          const options = (entry as { readonly options?: z.ZodType } | null)?.options;
          if (typeof options?.safeParse === 'function')
            problems.push(...schemaProblems(`${what} options`, options, undefined));
          continue;
        }
        if (typeof entry.run !== 'function') problems.push(`${what} has no run function`);
        if (typeof entry.options?.safeParse !== 'function') problems.push(`${what} has no options schema`);
        else problems.push(...schemaProblems(`${what} options`, entry.options, undefined));
      } catch (error) {
        problems.push(`${what} does not load: ${reasonOf(error)}`);
      }
    }
  }
  return problems;
}

/** The command line can be built with the plugin's commands: flags parse, and hide no global one. */
function commandProblems(test: PluginTest): string[] {
  const { ownedCommands } = test.application;
  const owned = ownedCommands.filter(({ plugin }) => plugin === test.plugin.name);
  return owned.flatMap(({ command }) => {
    const problems: string[] = [];
    const others = ownedCommands.filter((other) => other.command.name === command.name && other.command !== command);
    if (others.length > 0) problems.push(`command "${command.name}" is there already, from ${others[0]!.plugin}`);
    if (!command.summary) problems.push(`command "${command.name}" has no summary`);
    try {
      buildProgram(
        [command as never],
        '0.0.0',
        async () => 0,
        () => {},
      );
    } catch (error) {
      problems.push(`command "${command.name}": ${reasonOf(error)}`);
    }
    return problems;
  });
}

function countHandles(): Map<string, number> {
  const counts = new Map(HANDLES.map((kind) => [kind, 0]));
  for (const kind of process.getActiveResourcesInfo()) if (counts.has(kind)) counts.set(kind, counts.get(kind)! + 1);
  return counts;
}
