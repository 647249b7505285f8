import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { displayPath } from '../config/source.js';
import { toValue } from '../config/tree.js';
import { isLargeForgeError, LargeForgeError, placeError, reasonOf } from '../kernel/errors.js';
import { checkBackend } from './backend-choice.js';
import { checkSteps } from './check-steps.js';
import { ContentHasher } from './content-hash.js';
import { continuation, pipelineErrors } from './errors.js';
import { stepHash } from './fingerprint.js';
import { type PreparedStep, parseWith, prepareSteps } from './prepare.js';
import { resolveReferences } from './references.js';
import { type PipelineOutcome, type PipelineRun, runDirOf } from './run.js';
import { runStep } from './run-step.js';
import { PipelineState, type StepRecord } from './state.js';

/**
 * Checks all steps, then runs them one after the other. A step whose options, inputs (by content) and plugin have not
 * changed since it finished is skipped. A failure leaves earlier results for the next run.
 */
export async function runPipeline(run: PipelineRun): Promise<PipelineOutcome> {
  const { config, events, steps, options } = run;
  if (steps.length === 0) {
    const file = config.file === undefined ? 'the built-in config' : displayPath(config.file, config.cwd);
    throw pipelineErrors.LF_PIPELINE_EMPTY({ file });
  }
  await checkBackend(run.kernel.registry('backend'), config);
  const prepared = await prepareSteps(run);
  const names = steps.map((step) => step.name);
  if (options.from !== undefined && !names.includes(options.from)) {
    throw pipelineErrors.LF_PIPELINE_FROM({ name: options.from, known: names });
  }
  const from = options.from === undefined ? 0 : names.indexOf(options.from);
  await checkSteps(run, prepared.slice(from));
  const progress = new Progress(run);
  if (options.dryRun) return progress;
  const start = performance.now();
  events.emit({ type: 'pipeline.started', steps: steps.map(({ name, stage, use }) => ({ name, stage, use })) });
  for (const step of prepared) await progress.advance(step);
  const seconds = (performance.now() - start) / 1000;
  events.emit({ type: 'pipeline.finished', seconds, ran: progress.ran, skipped: progress.skipped });
  return { outputs: progress.outputs, ran: progress.ran, skipped: progress.skipped };
}

/** How far a run has come. */
class Progress implements PipelineOutcome {
  readonly outputs = new Map<string, Readonly<Record<string, unknown>>>();
  readonly ran: string[] = [];
  readonly skipped: string[] = [];
  private readonly state: PipelineState;
  private readonly hasher: ContentHasher;
  private readonly fromIndex: number;

  constructor(private readonly run: PipelineRun) {
    const folder = run.located ? runDirOf(run) : undefined;
    this.state = new PipelineState(folder && join(folder, 'pipeline.json'), run.log.logger);
    this.hasher = new ContentHasher(folder && join(folder, 'digests.json'));
    const { from } = run.options;
    this.fromIndex = from === undefined ? 0 : run.steps.findIndex((step) => step.name === from);
  }

  /** Skips or runs the next step. */
  async advance(step: PreparedStep): Promise<void> {
    const { run, state } = this;
    if (run.kernel.signal.aborted) throw pipelineErrors.LF_PIPELINE_INTERRUPTED({ step: step.name, begun: false });
    const before = state.get(step.name);
    if (step.index < this.fromIndex) return this.takeOver(step, before);
    const withNode = resolveReferences(step.place, this.outputs);
    const options = parseWith(run, step, withNode);
    const hash = run.located ? await stepHash(run, this.hasher, step, toValue(withNode), options) : '';
    this.hasher.save();
    const repeatable = step.stage === 'serve' || step.runner.cacheable === false || !run.located;
    const { force = false, from } = run.options;
    const finished = before?.status === 'finished' && before.hash === hash && before.files.every(existsSync);
    if (finished && !repeatable && !force && from === undefined) {
      return this.skip(step, before, `nothing changed since ${before.finishedAt}`);
    }
    // An attempt that was killed, failed or was interrupted has left a checkpoint that is worth keeping.
    const statuses: readonly string[] = ['running', 'failed', 'interrupted'];
    const unfinished = before?.hash === hash && statuses.includes(before.status);
    const resume = run.options.resume ?? (unfinished && !force);
    await this.execute(step, { hash, options, resume, force: force || from !== undefined });
  }

  /** A step before --from: its results are used as they are, though its inputs may have changed. */
  private takeOver(step: PreparedStep, before: StepRecord | undefined): void {
    if (step.stage === 'serve') return;
    if (before?.status !== 'finished' || !before.files.every(existsSync)) {
      throw pipelineErrors.LF_PIPELINE_FROM_UNFINISHED({ from: this.run.options.from!, step: step.name });
    }
    this.skip(step, before, `before --from ${this.run.options.from}`);
  }

  private skip(step: PreparedStep, before: StepRecord, reason: string): void {
    this.outputs.set(step.name, before.outputs);
    this.skipped.push(step.name);
    this.run.events.emit({ type: 'step.skipped', step: step.name, reason });
  }

  private async execute(
    step: PreparedStep,
    attempt: { hash: string; options: unknown; resume: boolean; force: boolean },
  ): Promise<void> {
    const { run, state } = this;
    const { name, stage, use, index } = step;
    const record = { hash: attempt.hash, outputs: {}, files: [], startedAt: new Date().toISOString() };
    state.set(name, { ...record, status: 'running' });
    const { resume } = attempt;
    run.events.emit({ type: 'step.started', step: name, stage, use, index, total: run.steps.length, resume });
    const end = run.tracer?.begin('step', name);
    const start = performance.now();
    try {
      const outputs = await orStopped(run, step, runStep(run, step, attempt, this.outputs));
      const files = pathsIn(outputs);
      state.set(name, { ...record, status: 'finished', outputs, files, finishedAt: new Date().toISOString() });
      this.outputs.set(name, outputs);
      this.ran.push(name);
      const seconds = (performance.now() - start) / 1000;
      run.events.emit({ type: 'step.finished', step: name, seconds, outputs });
    } catch (cause) {
      const error = this.failure(step, cause);
      state.set(name, { ...record, status: statusOf(error) });
      const { code, message, remedy } = error;
      run.events.emit({ type: 'step.failed', step: name, error: { code, message, remedy } });
      throw error;
    } finally {
      end?.();
    }
  }

  /** What is told of a step that did not finish. */
  private failure(step: PreparedStep, cause: unknown): LargeForgeError {
    const { run } = this;
    if (cause instanceof LargeForgeError && cause.code === 'LF_PIPELINE_STOPPED') return cause;
    if (run.kernel.signal.aborted && isAbort(cause, run.kernel.signal)) {
      return pipelineErrors.LF_PIPELINE_INTERRUPTED({ step: step.name, begun: true }, { cause });
    }
    const plugin = step.owner.plugin.name;
    const error = isLargeForgeError(cause)
      ? cause
      : pipelineErrors.LF_STEP_FAILED({ plugin, reason: reasonOf(cause) }, { cause });
    if (!run.located) return error instanceof LargeForgeError ? error : placeError(error, step.use);
    const place = error.code === 'LF_STEP_REFUSED' ? '' : `step "${step.name}": `;
    const remedy = error.remedy + continuation([...this.skipped, ...this.ran]);
    const { details = {} } = error as { details?: Record<string, unknown> };
    return new LargeForgeError(error.code, place + error.message, remedy, error.exitCode ?? 1, details, {
      cause: error,
    });
  }
}

function statusOf(error: LargeForgeError): StepRecord['status'] {
  if (error.code === 'LF_STEP_REFUSED') return 'refused';
  return error.exitCode === 130 ? 'interrupted' : 'failed';
}

/** Whether an error says no more than that the work was asked to end. */
function isAbort(error: unknown, signal: AbortSignal): boolean {
  for (let each: unknown = error, depth = 0; each !== undefined && depth < 8; depth++) {
    if (each === signal.reason) return true;
    const { name, code, cause } = (each ?? {}) as { name?: unknown; code?: unknown; cause?: unknown };
    if (name === 'AbortError' || code === 'ABORT_ERR' || code === 'LF_BACKEND_CANCELLED') return true;
    each = cause;
  }
  return false;
}

/** The step's outputs, or a rejection as soon as the run is to stop at once. */
function orStopped<T>(run: PipelineRun, step: PreparedStep, work: Promise<T>): Promise<T> {
  const { stop } = run.options;
  if (!stop) return work;
  return new Promise<T>((fulfil, reject) => {
    const stopNow = () => {
      const pending = run.kernel.pending();
      reject(pipelineErrors.LF_PIPELINE_STOPPED({ step: step.name, pending }));
    };
    if (stop.aborted) stopNow();
    stop.addEventListener('abort', stopNow, { once: true });
    work.then(fulfil, reject).finally(() => stop.removeEventListener('abort', stopNow));
  });
}

/** Outputs that are paths of something that is there. */
function pathsIn(outputs: Readonly<Record<string, unknown>>): string[] {
  const texts = Object.values(outputs).filter((value) => typeof value === 'string');
  return texts.filter((value) => value.startsWith('/') || /^[A-Za-z]:[\\/]/.test(value)).filter(existsSync);
}
