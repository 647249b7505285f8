import { createHash } from 'node:crypto';
import { resolveUserPath } from '../config/user-path.js';
import { type ContentHasher, canonicalJson } from './content-hash.js';
import type { PreparedStep } from './prepare.js';
import type { PipelineRun } from './run.js';

/**
 * A digest of everything that decides a step's result: what its config says (references replaced), the content of its
 * input files, and the plugins that take part: the runner's, and those that tap the hooks of its stage.
 */
export async function stepHash(
  run: PipelineRun,
  hasher: ContentHasher,
  step: PreparedStep,
  config: unknown,
  options: unknown,
): Promise<string> {
  const { stage, use, owner, runner } = step;
  const tapped = run.kernel.describeHooks().filter(({ name }) => name.startsWith(`${stage}.`));
  const names = new Set([owner.plugin.name, ...tapped.flatMap(({ taps }) => taps.map(({ plugin }) => plugin))]);
  const plugins = run.kernel.plugins
    .filter(({ plugin }) => names.has(plugin.name))
    .map(({ plugin: { name, version }, options }) => ({ name, version, options }));
  const inputs: [path: string, digest: string][] = [];
  for (const path of runner.inputs?.(options as never).paths ?? []) {
    // A name that is no path here (a model of the hub's cache) counts by its name.
    inputs.push([path, (await hasher.hash(resolveUserPath(run.baseDir, path))) ?? 'absent']);
  }
  const hash = createHash('sha256').update(canonicalJson({ stage, use, with: config, inputs, plugins }));
  return hash.digest('hex');
}
