import { existsSync } from 'node:fs';
import { resolve, sep } from 'node:path';
import { formatSource } from '../config/source.js';
import { type ConfigNode, toValue } from '../config/tree.js';
import { resolveUserPath } from '../config/user-path.js';
import { isLargeForgeError, placeError, reasonOf } from '../kernel/errors.js';
import type { RegistryViews } from '../kernel/plugin.js';
import { type LifecycleRegistries, registryNames } from '../lifecycle/registries.js';
import type { CheckContext } from '../lifecycle/step-runner.js';
import { chooseBackend } from './backend-choice.js';
import { pipelineErrors } from './errors.js';
import { checkOutputFolder } from './output-folder.js';
import type { PreparedStep } from './prepare.js';
import { type PipelineRun, runDirOf } from './run.js';

/** Lets the runners look for what their steps would fail on, as far as it can be told before the first one runs. */
export async function checkSteps(run: PipelineRun, steps: readonly PreparedStep[]): Promise<void> {
  if (run.located) checkOutputFolder(runDirOf(run));
  for (const step of steps) {
    // References stand for values that are not known yet: options that they do not fit are checked when they are.
    if (step.options === undefined) continue;
    const context = contextFor(run, step);
    try {
      if (step.runner.check) await step.runner.check(context, step.options as never);
      else checkInputs(context, step.runner.inputs?.(step.options as never).paths ?? []);
    } catch (cause) {
      throw placed(run, step, cause);
    }
  }
}

/** For a runner without a check of its own: whether what it reads is there. Names of the model cache are left to it. */
function checkInputs(context: CheckContext, paths: readonly string[]): void {
  const isPath = (text: string) => /^(\.{1,2}[\\/]|[\\/~])|\.(jsonl?|ndjson|txt|csv|gguf)$/.test(text);
  const missing = paths.find(
    (path) => isPath(path) && !context.comesLater(path) && !existsSync(context.resolvePath(path)),
  );
  if (missing !== undefined) throw pipelineErrors.LF_STEP_INPUT_MISSING({ path: context.resolvePath(missing) });
}

function contextFor(run: PipelineRun, step: PreparedStep): CheckContext {
  const { kernel, baseDir, reloader, log } = run;
  const plugin = step.owner.plugin.name;
  const registries = Object.fromEntries(registryNames.map((name) => [name, kernel.registry(name).facade(plugin)]));
  const resolvePath = (path: string) => resolveUserPath(baseDir, path);
  const written = placesOfEarlier(run, step.index).map(resolvePath);
  return {
    name: step.name,
    baseDir,
    resolvePath,
    comesLater: (value) => value.includes('${steps.') || written.some((place) => lies(resolvePath(value), place)),
    backend: () => chooseBackend(kernel.registry('backend'), reloader.config, log.child({ plugin, step: step.name })),
    kernel: {
      registries: registries as unknown as RegistryViews<LifecycleRegistries>,
      services: kernel.services.facade(plugin),
    },
  };
}

/** Paths that earlier steps may write below: every text of their options, and their own folders. */
function placesOfEarlier(run: PipelineRun, index: number): string[] {
  const earlier = run.steps.slice(0, index);
  const folders = earlier.map(({ name }) => resolve(runDirOf(run), name));
  return [...folders, ...run.nodes.slice(0, index).flatMap(texts)];
}

function texts(node: ConfigNode): string[] {
  const collect = (value: unknown): string[] => {
    if (typeof value === 'string') return [value];
    return typeof value === 'object' && value !== null ? Object.values(value).flatMap(collect) : [];
  };
  const { with: options } = toValue(node) as { with?: unknown };
  return collect(options);
}

function lies(path: string, within: string): boolean {
  return path === within || path.startsWith(within.endsWith(sep) ? within : within + sep);
}

/** The error with the step's place in the config. */
function placed(run: PipelineRun, step: PreparedStep, cause: unknown): Error {
  const plugin = step.owner.plugin.name;
  const error = isLargeForgeError(cause)
    ? cause
    : pipelineErrors.LF_STEP_FAILED({ plugin, reason: reasonOf(cause) }, { cause });
  if (!run.located) return error;
  const { source } = run.nodes[step.index]!;
  return placeError(error, `${formatSource(source, run.config.cwd)}: pipeline[${step.index}] (${step.use})`);
}
