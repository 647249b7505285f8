import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseNode } from '../config/parse.js';
import { parsePath } from '../config/path.js';
import { fromValue } from '../config/tree.js';
import { resolveUserPath } from '../config/user-path.js';
import { isLargeForgeError, placeError } from '../kernel/errors.js';
import type { RegistryViews } from '../kernel/plugin.js';
import type { StepPlan } from '../lifecycle/plan-contract.js';
import { type ChosenBackend, type LifecycleRegistries, registryNames } from '../lifecycle/registries.js';
import type { StepContext } from '../lifecycle/step-runner.js';
import { chooseBackend } from './backend-choice.js';
import { pipelineErrors } from './errors.js';
import type { PreparedStep } from './prepare.js';
import { resolveReferences } from './references.js';
import { type PipelineRun, runDirOf } from './run.js';
import { stageDrivers } from './stage-drivers.js';

export interface Attempt {
  /** As the runner's schema gave them. */
  readonly options: unknown;
  readonly resume: boolean;
  readonly force: boolean;
}

type Outputs = Readonly<Record<string, unknown>>;

/** Runs one step by its stage's driver, and checks what it returns. */
export async function runStep(
  run: PipelineRun,
  step: PreparedStep,
  attempt: Attempt,
  earlier: ReadonlyMap<string, Outputs>,
): Promise<Outputs> {
  const { name, stage, use } = step;
  const outputDir = join(runDirOf(run), name);
  const initial: StepPlan = { step: name, use, options: attempt.options, outputDir, resume: attempt.resume };
  const slice = {
    path: ['pipeline', step.index, 'with'],
    label: step.place.label,
    schema: step.runner.options,
    resolve: (node: PreparedStep['place']['node']) => resolveReferences({ ...step.place, node }, earlier),
  };
  const release = run.located ? run.reloader.addSlice(slice) : () => {};
  const reloadable: StepContext['reloadable'] = (path, onChange) => {
    if (run.located) run.reloader.onChange(slice, parsePath(path) ?? [path], onChange);
  };
  try {
    return await stageDrivers[stage](run.kernel.hooks, initial, async (plan) => {
      const options = plan.options === initial.options ? plan.options : checkPlanned(run, step, plan);
      const context = contextFor(run, step, plan, attempt.force, reloadable);
      return plainOutputs(step, await step.runner.run(context as never, options as never));
    });
  } finally {
    release();
  }
}

/** Options that taps of the plan hook changed must fit the schema too. */
function checkPlanned(run: PipelineRun, { stage, runner }: PreparedStep, plan: StepPlan): unknown {
  const node = fromValue(plan.options, { layer: 'built-in' });
  const { cwd, secrets } = run.config;
  try {
    return parseNode(runner.options, node, { label: plan.use, cwd, secrets, located: false });
  } catch (error) {
    throw isLargeForgeError(error) ? placeError(error, `a plugin that taps ${stage}.plan made this`) : error;
  }
}

/** What the runner works with. */
function contextFor(
  run: PipelineRun,
  step: PreparedStep,
  plan: StepPlan,
  force: boolean,
  reloadable: StepContext['reloadable'],
): StepContext {
  const { kernel, events, reloader, baseDir } = run;
  const plugin = step.owner.plugin.name;
  const log = run.log.child({ plugin, step: step.name });
  let backend: Promise<ChosenBackend> | undefined;
  const registries = Object.fromEntries(registryNames.map((name) => [name, kernel.registry(name).facade(plugin)]));
  return {
    name: step.name,
    // Made when it is asked for: not every step keeps something there.
    get outputDir() {
      mkdirSync(plan.outputDir, { recursive: true });
      return plan.outputDir;
    },
    baseDir,
    resolvePath: (path) => resolveUserPath(baseDir, path),
    signal: kernel.signal,
    log,
    events,
    hooks: kernel.hooks[step.stage],
    kernel: {
      registries: registries as unknown as RegistryViews<LifecycleRegistries>,
      services: kernel.services.facade(plugin),
      config: reloader.viewOf(plugin),
      hooks: kernel.hooks,
    },
    backend: () => {
      backend ??= chooseBackend(kernel.registry('backend'), reloader.config, log);
      return backend;
    },
    reloadable,
    force,
    resume: plan.resume,
  };
}

/** Outputs are written down and referred to by later steps: they must be plain JSON. */
function plainOutputs(step: PreparedStep, outputs: unknown): Outputs {
  const plugin = step.owner.plugin.name;
  const fail = (reason: string) => pipelineErrors.LF_STEP_OUTPUT({ plugin, reason });
  if (typeof outputs !== 'object' || outputs === null || Array.isArray(outputs)) throw fail('are no record');
  const check = (value: unknown, key: string): void => {
    if (value === null || ['string', 'boolean'].includes(typeof value) || Number.isFinite(value)) return;
    const isPlain =
      Array.isArray(value) || (typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype);
    if (!isPlain) throw fail(`have "${key}", which is no JSON value`);
    for (const [inner, child] of Object.entries(value as object)) check(child, `${key}.${inner}`);
  };
  const known = Object.entries(outputs).filter(([, value]) => value !== undefined);
  for (const [key, value] of known) check(value, key);
  return Object.fromEntries(known);
}
