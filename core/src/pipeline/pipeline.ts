import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import type { z } from 'zod';
import type { PluginContext } from '../application/context.js';
import { configErrors } from '../config/errors.js';
import type { LoadedConfig } from '../config/load.js';
import type { ConfigPath } from '../config/path.js';
import { problemsOf, withKnownKeys } from '../config/problems.js';
import type { PipelineStep } from '../config/schema.js';
import type { EventBus } from '../events/events.js';
import { isLargeForgeError } from '../kernel/errors.js';
import type { Kernel } from '../kernel/kernel.js';
import type { Logger } from '../kernel/plugin.js';
import type { Tracer } from '../kernel/trace.js';
import {
  type BackendEntry,
  type ChosenBackend,
  registryNames,
  type StepContext,
  type StepRunner,
  stageRegistry,
  type Verdict,
} from '../lifecycle/contracts.js';
import { pipelineErrors } from './errors.js';
import { checkReferences, resolveReferences, withStandIns } from './references.js';
import { contentHash, PipelineState } from './state.js';

export interface PipelineOptions {
  /** Run every step, finished or not. */
  readonly force: boolean;
  /** Run from this step on; earlier ones must have finished before. */
  readonly from?: string;
  /** Let runners go on from their last checkpoint. */
  readonly resume: boolean;
  /** Check everything and run nothing. */
  readonly dryRun: boolean;
}

export interface PipelineRun {
  readonly steps: readonly PipelineStep[];
  readonly baseDir: string;
  /** How a step is called in errors: `pipeline[2]`, or undefined for steps that are in no config. */
  where(index: number): string | undefined;
  readonly config: LoadedConfig;
  readonly kernel: Kernel<PluginContext>;
  readonly events: EventBus;
  readonly log: Logger;
  readonly tracer?: Tracer;
  readonly options: PipelineOptions;
}

export interface PipelineOutcome {
  /** Outputs of every step, by name. */
  readonly outputs: ReadonlyMap<string, Record<string, unknown>>;
  readonly ran: readonly string[];
  readonly skipped: readonly string[];
}

interface PreparedStep extends PipelineStep {
  readonly index: number;
  readonly runner: StepRunner;
  readonly owner: string;
  readonly uses: ReadonlySet<string>;
}

/**
 * Runs steps in order. Everything that can be known to be wrong is refused before the first one starts. A step is skipped
 * when its options, the content of its inputs and the plugin's version are those of its last finished run.
 */
export async function runPipeline(run: PipelineRun): Promise<PipelineOutcome> {
  const { steps, events, options, kernel } = run;
  if (steps.length === 0) throw pipelineErrors.PIPELINE_EMPTY({ file: run.config.file ?? 'the built-in config' });
  const prepared = await prepare(run);
  const names = steps.map((step) => step.name);
  if (options.from !== undefined && !names.includes(options.from))
    throw pipelineErrors.PIPELINE_FROM({ name: options.from, known: names });
  const outputs = new Map<string, Record<string, unknown>>();
  const ran: string[] = [];
  const skipped: string[] = [];
  if (options.dryRun) return { outputs, ran, skipped };
  const state = new PipelineState(join(runDir(run), 'pipeline.json'), run.log);
  const fromIndex = options.from === undefined ? 0 : names.indexOf(options.from);

  for (const step of prepared) {
    if (kernel.signal.aborted) throw pipelineErrors.RUN_ABORTED({ step: step.name });
    const place = placeOf(run, step);
    const resolved = resolveReferences(step.with, outputs, place);
    const parsed = parseOptions(run, step, resolved, place);
    const hash = await stepHash(run, step, resolved, parsed);
    const before = state.get(step.name);
    const cacheable = step.runner.cacheable !== false;
    const forced = options.force || (options.from !== undefined && step.index >= fromIndex);
    if (cacheable && !forced && before?.hash === hash && outputsExist(before.outputs, run.baseDir)) {
      outputs.set(step.name, before.outputs);
      skipped.push(step.name);
      events.emit({ type: 'step.skipped', step: step.name, reason: `nothing changed since ${before.finishedAt}` });
      continue;
    }
    state.forget(step.name);
    events.emit({
      type: 'step.started',
      step: step.name,
      stage: step.stage,
      use: step.use,
      index: step.index,
      total: steps.length,
    });
    const start = performance.now();
    try {
      const result = await runStep(run, step, parsed);
      outputs.set(step.name, result);
      ran.push(step.name);
      if (kernel.signal.aborted && cacheable) throw pipelineErrors.RUN_ABORTED({ step: step.name });
      if (cacheable) state.set(step.name, { hash, outputs: result, finishedAt: new Date().toISOString() });
      events.emit({
        type: 'step.finished',
        step: step.name,
        seconds: (performance.now() - start) / 1000,
        outputs: result,
      });
    } catch (cause) {
      const error = cause as Error & { code?: string; remedy?: string };
      events.emit({
        type: 'step.failed',
        step: step.name,
        error: { code: error.code, message: error.message, remedy: error.remedy },
      });
      if (kernel.signal.aborted && !isLargeForgeError(cause))
        throw pipelineErrors.RUN_ABORTED({ step: step.name }, { cause });
      throw cause;
    }
  }
  return { outputs, ran, skipped };
}

/** Looks every runner up and checks options and references, as far as they are known before the run. */
async function prepare(run: PipelineRun): Promise<PreparedStep[]> {
  const names = run.steps.map((step) => step.name);
  const prepared: PreparedStep[] = [];
  for (const [index, step] of run.steps.entries()) {
    const registry = run.kernel.registry<StepRunner>(stageRegistry[step.stage]);
    const where = run.where(index);
    const runner = await registry.get(
      step.use,
      where && `${run.config.sourceOf(['pipeline', index, 'use'])}: ${where}.use`,
    );
    const ready: PreparedStep = { ...step, index, runner, owner: registry.ownerOf(step.use)!, uses: new Set() };
    const place = placeOf(run, ready);
    const uses = checkReferences(step.with, names.slice(0, index), names, place);
    parseOptions(run, ready, step.with, place);
    prepared.push({ ...ready, uses });
  }
  return prepared;
}

function placeOf(
  run: PipelineRun,
  step: PreparedStep,
): { path: ConfigPath; locate(path: ConfigPath): string | undefined } {
  const inConfig = run.where(step.index) !== undefined;
  return {
    path: inConfig ? ['pipeline', step.index, 'with'] : [],
    locate: (path) => (inConfig ? run.config.sourceOf(path) : undefined),
  };
}

function parseOptions(
  run: PipelineRun,
  step: PreparedStep,
  value: unknown,
  place: { path: ConfigPath; locate(path: ConfigPath): string | undefined },
): Record<string, unknown> {
  const schema = step.runner.options as z.ZodType<Record<string, unknown>>;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  // What a reference will give is not known yet: only other places can be wrong.
  const standIns = withStandIns(value).paths;
  const issues = parsed.error.issues.filter((issue) => !standIns.includes(issue.path.join('\u0000')));
  if (issues.length === 0) return value as Record<string, unknown>;
  const label = run.where(step.index) === undefined ? step.use : `${run.where(step.index)} (${step.use}).with`;
  throw configErrors.CONFIG_INVALID({
    problems: problemsOf(withKnownKeys(issues, schema), {
      base: [],
      label,
      root: value,
      locate: (path) => place.locate([...place.path, ...path]),
    }),
  });
}

function runDir(run: PipelineRun): string {
  return resolve(run.baseDir, run.config.root.runDir);
}

async function stepHash(
  run: PipelineRun,
  step: PreparedStep,
  resolved: unknown,
  parsed: Record<string, unknown>,
): Promise<string> {
  const { plugin } = run.kernel.plugins().find((loaded) => loaded.plugin.name === step.owner) ?? {};
  const hash = createHash('sha256').update(
    JSON.stringify([step.stage, step.use, resolved, step.owner, plugin?.version]),
  );
  for (const path of step.runner.inputs?.(parsed as never).paths ?? []) {
    const absolute = isAbsolute(path) ? path : resolve(run.baseDir, path);
    // A name that is no path (a model of the hub's cache) counts by its name.
    hash.update(`${path}\0${(await contentHash(absolute)) ?? 'absent'}\0`);
  }
  return hash.digest('hex');
}

/** Outputs that are paths must still be there. */
function outputsExist(outputs: Record<string, unknown>, baseDir: string): boolean {
  return Object.values(outputs).every(
    (value) => typeof value !== 'string' || !isAbsolute(value) || existsSync(resolve(baseDir, value)),
  );
}

/** Fires the stage's hooks around the runner. */
async function runStep(
  run: PipelineRun,
  step: PreparedStep,
  parsed: Record<string, unknown>,
): Promise<Record<string, unknown>> {
  const { kernel } = run;
  const fire = (hook: string, value: unknown) => kernel.hook<unknown, unknown>(`${step.stage}.${hook}`).fire(value);
  const has = (hook: string) => kernel.hooks().some((h) => h.name === `${step.stage}.${hook}`);
  const end = run.tracer?.begin('step', step.name, { stage: step.stage, use: step.use });
  try {
    let options = parsed;
    if (has('plan')) {
      const plan = (await fire('plan', { step: step.name, use: step.use, options })) as
        | { options: Record<string, unknown> }
        | undefined;
      options = plan?.options ?? options;
    }
    const plan = { step: step.name, use: step.use, options };
    if (has('before')) await fire('before', plan);
    const outputs = await step.runner.run(contextFor(run, step), options as never);
    const result = { ...plan, outputs };
    for (const gate of ['validate', 'verify', 'gate'])
      if (has(gate)) refuse(step.name, `${step.stage}.${gate}`, await fire(gate, result));
    for (const last of ['ready', 'after', 'report']) if (has(last)) await fire(last, result);
    return outputs;
  } finally {
    end?.();
  }
}

function refuse(step: string, hook: string, answer: unknown): void {
  const verdict = answer as Verdict | undefined;
  if (verdict && verdict.ok === false)
    throw pipelineErrors.STEP_REFUSED({ step, hook, reason: verdict.reason, remedy: verdict.remedy });
}

function contextFor(run: PipelineRun, step: PreparedStep): StepContext {
  const { kernel } = run;
  const facades = Object.fromEntries(registryNames.map((name) => [name, kernel.registry(name).facade(step.owner)]));
  return {
    name: step.name,
    outputDir: join(runDir(run), step.name),
    baseDir: run.baseDir,
    signal: kernel.signal,
    log: run.log.child({ step: step.name }),
    events: run.events,
    hooks: { fire: (hook, value) => kernel.hook<unknown, unknown>(`${step.stage}.${hook}`).fire(value) },
    registries: facades as unknown as StepContext['registries'],
    services: kernel.services.facade(step.owner),
    backend: () => chooseBackend(kernel, run.config, run.log),
    force: run.options.force,
    resume: run.options.resume,
  };
}

/** The `backend` of the config: the named one (its failure is fatal), or the first that works, with the others' reasons. */
export async function chooseBackend(
  kernel: Kernel<PluginContext>,
  config: LoadedConfig,
  log: Logger,
): Promise<ChosenBackend> {
  const wanted = typeof config.root.backend === 'string' ? { name: config.root.backend } : config.root.backend;
  const registry = kernel.registry<BackendEntry>('backend');
  const { name, ...options } = wanted;
  if (name !== 'auto') return { ...(await registry.get(name, config.sourceOf(['backend']))), ...options };
  const { id, value, rejected } = await registry.auto();
  for (const { id: other, reason } of rejected) log.info(`backend ${other} is not used: ${reason}`);
  log.debug(`backend: ${id}`);
  return { ...value, ...options };
}
