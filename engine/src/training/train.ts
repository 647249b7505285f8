import { join } from 'node:path';
import { BatchLoader } from './batch-loader.js';
import { checkSameRun, type RunIdentity, type RunState, readRunState, writeRunState } from './checkpoint/run-state.js';
import { CheckpointStore } from './checkpoint/store.js';
import { loadTensors, saveTensors } from './checkpoint/tensor-file.js';
import { CheckpointWriter } from './checkpoint/writer.js';
import { trainingErrors } from './errors.js';
import { evaluateRows } from './evaluate.js';
import { recordEvaluation } from './evaluation-record.js';
import type { TrainingEvent } from './events.js';
import { initialLossScale, nextLossScale, smallestLossScale } from './loss-scale.js';
import type { Objective, Trainable } from './objective.js';
import type { TrainingOptions } from './options.js';
import { Progress } from './progress.js';
import type { RowSource } from './row-source.js';
import { identityOf } from './run-identity.js';
import { learningRate } from './schedule.js';
import { isSpike, mostSkipsInARow } from './spike-guard.js';
import { type StepOutcome, StepRunner } from './step-runner.js';

const stateFile = 'training_state.safetensors';
/** A run that goes back more often does not come back to what it was. */
const mostRollbacks = 10;

export interface TrainingRun<Row, Batch> {
  readonly model: Trainable;
  readonly objective: Objective<Row, Batch>;
  readonly rows: RowSource<Row>;
  /** Indices of the rows that are trained on; all by default. */
  readonly training?: ArrayLike<number>;
  /** Rows of another source, or of the same one, that are held out. */
  readonly heldOut?: { readonly source: RowSource<Row>; readonly rows: ArrayLike<number> };
  readonly options: TrainingOptions;
  /** Folder of the checkpoints; none are written without it. */
  readonly folder?: string;
  /** Go on from the latest checkpoint of the folder; from the beginning when it has none. */
  readonly resume?: boolean;
  /** Replace checkpoints of an earlier run even if that did not finish. */
  readonly overwrite?: boolean;
  /** Puts what people load (an adapter, a model) into the folder of a checkpoint. */
  readonly saveWeights?: (folder: string) => Promise<void>;
  /** Aborted: a checkpoint is written, and `train` returns. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: TrainingEvent) => void | Promise<void>;
}

export interface TrainingResult {
  readonly step: number;
  readonly totalSteps: number;
  /** Loss of each step; of those that changed nothing too. */
  readonly losses: readonly number[];
  /** The last evaluation of the held-out rows, or the best one when its weights were kept. */
  readonly evaluation: Readonly<Record<string, number>> | undefined;
  /** Every evaluation of the held-out rows, in order. */
  readonly evaluations: readonly { readonly step: number; readonly metrics: Readonly<Record<string, number>> }[];
  readonly aborted: boolean;
  readonly seconds: number;
  readonly tokens: number;
}

/**
 * Trains. The same run (data, options, seed) always gives the same weights, also when it was interrupted anywhere and
 * resumed: a checkpoint holds masters, moments and the number of steps done, and everything else, the order of the rows
 * and all random numbers among it, follows from the seed and that number.
 * @throws LF_ENGINE_TRAIN_* and LF_ENGINE_CHECKPOINT_* errors; see errors.ts
 */
export async function train<Row, Batch>(run: TrainingRun<Row, Batch>): Promise<TrainingResult> {
  const loop = new TrainingLoop(run);
  try {
    return await loop.run();
  } finally {
    await loop.dispose();
  }
}

/** Optimiser steps of a run. */
export function totalStepsOf(options: Pick<TrainingOptions, 'epochs' | 'maxSteps'>, stepsPerEpoch: number): number {
  return options.maxSteps ?? Math.max(1, Math.ceil(options.epochs * stepsPerEpoch));
}

class TrainingLoop<Row, Batch> {
  private readonly loader: BatchLoader<Row>;
  private readonly steps: StepRunner<Row, Batch>;
  private readonly store: CheckpointStore | undefined;
  private readonly writer: CheckpointWriter | undefined;
  private readonly totalSteps: number;
  private readonly identity: RunIdentity;
  private state: RunState;
  private progress: Progress;
  private started = performance.now();
  private lastCheckpoint = { step: 0, time: performance.now() };

  constructor(private readonly spec: TrainingRun<Row, Batch>) {
    const { model, objective, rows, options, heldOut } = spec;
    if (model.trainableParameters().size === 0) throw trainingErrors.TRAIN_NOTHING_TRAINABLE();
    const training = spec.training ?? Uint32Array.from({ length: rows.lengths.length }, (_, row) => row);
    if (training.length === 0) {
      throw trainingErrors.TRAIN_NO_ROWS({ rows: rows.lengths.length, heldOut: heldOut?.rows.length ?? 0 });
    }
    if (options.evaluation.keepBest && spec.folder === undefined) {
      throw new TypeError('keepBest needs a folder: the best weights are kept in a checkpoint');
    }
    this.loader = new BatchLoader(rows, training, options);
    this.totalSteps = totalStepsOf(options, this.loader.stepsPerEpoch);
    this.steps = new StepRunner(model, objective, options);
    if (spec.folder !== undefined) {
      this.store = new CheckpointStore(spec.folder, options.checkpoints);
      this.writer = new CheckpointWriter(this.store, options.checkpoints.background, (step, path) =>
        this.emit({ type: 'checkpoint', step, path }),
      );
    }
    const run = {
      objective: objective.name,
      data: heldOut ? `${rows.fingerprint}/${heldOut.source.fingerprint}` : rows.fingerprint,
      rows: training.length,
      units: this.loader.units,
    };
    this.identity = identityOf(run, model, options, this.totalSteps);
    this.state = {
      version: 1,
      run: this.identity,
      step: 0,
      updates: 0,
      shift: 0,
      rollbacks: 0,
      skips: 0,
      lossScale: options.lossScale ? initialLossScale(options.lossScale) : null,
      cursor: this.loader.cursor(0),
      tokens: 0,
      seconds: 0,
      evaluations: [],
      best: null,
      sinceBest: 0,
      losses: [],
      gradNorms: [],
    };
    this.progress = new Progress(this.totalSteps, 0, this.started);
  }

  async run(): Promise<TrainingResult> {
    const { options, signal } = this.spec;
    if (this.store) await this.begin(this.store);
    let aborted = false;
    while (!aborted) {
      const stop = await this.evaluateIfDue();
      if (this.checkpointDue()) await this.checkpoint();
      if (stop || this.state.step >= this.totalSteps) break;
      aborted = signal?.aborted || !(await this.step());
      this.writer?.check();
    }
    await this.checkpoint();
    await this.writer?.settle();
    if (!aborted && options.evaluation.keepBest && this.state.best) await this.restoreBest(this.state.best.step);
    // What is left in the model is what was evaluated.
    if (!aborted) this.steps.average?.swap();
    const { step, losses, evaluations, best, tokens } = this.state;
    const kept = options.evaluation.keepBest ? best : undefined;
    return {
      step,
      totalSteps: this.totalSteps,
      losses,
      evaluation: (kept ?? evaluations.at(-1))?.metrics,
      evaluations,
      aborted,
      seconds: this.secondsSoFar(),
      tokens,
    };
  }

  /** Frees what training held; a checkpoint that is on its way to disk is waited for. */
  async dispose(): Promise<void> {
    await this.writer?.settle().catch(() => {}); // told already, or another failure is
    this.steps.dispose();
  }

  /** Resumes, or clears what an earlier run left in the folder. */
  private async begin(store: CheckpointStore): Promise<void> {
    await store.tidy();
    if (!this.spec.resume) return this.replaceEarlierRun(store);
    const { latest, damaged } = await store.latest();
    for (const checkpoint of damaged) await this.emit({ type: 'damaged', ...checkpoint });
    if (!latest) return this.emit({ type: 'resumed', step: 0, path: store.folder });
    const { step, path } = latest;
    const state = await readRunState(path);
    checkSameRun(path, state.run, this.identity);
    await this.restore(path, state);
    await this.emit({ type: 'resumed', step, path });
  }

  /** Goes on from a checkpoint. */
  private async restore(path: string, state: RunState): Promise<void> {
    await this.restoreTensors(path);
    this.state = state;
    this.started = performance.now();
    this.lastCheckpoint = { step: state.step, time: this.started };
    this.progress = new Progress(this.totalSteps, state.step, this.started);
  }

  /** Deletes an earlier run's checkpoints; those of an unfinished one only when that is asked for. */
  private async replaceEarlierRun(store: CheckpointStore): Promise<void> {
    const last = (await store.steps()).at(-1);
    if (last === undefined) return;
    const state = await readRunState(store.pathOf(last)).catch(() => undefined);
    const unfinished = state !== undefined && state.step < state.run.totalSteps;
    if (unfinished && !this.spec.overwrite) {
      throw trainingErrors.TRAIN_UNFINISHED({ folder: store.folder, step: last, totalSteps: state.run.totalSteps });
    }
    await store.clear();
  }

  /** One optimiser step; false when it was aborted before it changed anything. */
  private async step(): Promise<boolean> {
    const { options, signal } = this.spec;
    const { state } = this;
    const rate = learningRate(options.schedule, options.optimizer.learningRate, state.step, this.totalSteps);
    const place = state.step + state.shift;
    const rows = await this.loader.load(place);
    const scale = state.lossScale?.scale;
    const outcome = await this.steps.run(place, rows, signal, scale);
    if (!outcome) return false;
    const verdict = await this.judge(outcome, rows);
    if (verdict === 'spike' && options.spikes.action === 'rollback' && (await this.rollBack())) return true;
    state.step++;
    if (verdict === 'applies') this.steps.update(++state.updates, rate);
    state.skips = verdict === 'spike' ? state.skips + 1 : 0;
    state.cursor = this.loader.cursor(state.step + state.shift);
    state.tokens += outcome.tokens;
    state.losses.push(outcome.loss);
    if (options.spikes.action !== 'none') state.gradNorms.push(outcome.gradNorm);
    const { loss, gradNorm } = outcome;
    if (verdict !== 'applies') await this.emit({ type: 'skipped', step: state.step, reason: verdict, loss, gradNorm });
    const speed = this.progress.advance(state.step, outcome.tokens, performance.now());
    await this.emit({
      type: 'step',
      step: state.step,
      totalSteps: this.totalSteps,
      epoch: place / this.loader.stepsPerEpoch + 1 / this.loader.stepsPerEpoch,
      loss,
      learningRate: rate,
      gradNorm,
      ...speed,
      memoryBytes: this.spec.model.device.memory().peak,
      metrics: scale === undefined ? outcome.metrics : { ...outcome.metrics, loss_scale: scale },
    });
    return true;
  }

  /** Whether a step's gradients may be used. What is not finite and cannot be helped ends the run. */
  private async judge(
    outcome: StepOutcome,
    rows: readonly (readonly Row[])[],
  ): Promise<'applies' | 'overflow' | 'spike'> {
    const { state } = this;
    const { lossScale, spikes } = this.spec.options;
    const { loss, gradNorm, weight } = outcome;
    const step = state.step + 1;
    if (weight === 0) throw trainingErrors.TRAIN_NO_TARGETS({ step });
    const scale = state.lossScale?.scale;
    if (lossScale && state.lossScale) {
      const overflowed = !Number.isFinite(gradNorm);
      state.lossScale = nextLossScale(state.lossScale, overflowed, lossScale);
      if (overflowed && state.lossScale.scale >= smallestLossScale) return 'overflow';
    }
    if (spikes.action !== 'none' && isSpike(spikes, state.losses, state.gradNorms, loss, gradNorm)) {
      if (state.skips < mostSkipsInARow) return 'spike';
      throw trainingErrors.TRAIN_SPIKES({ step, times: state.skips + 1, what: 'skipped in a row' });
    }
    if (Number.isFinite(loss) && Number.isFinite(gradNorm)) return 'applies';
    const where = await this.steps.explainNonfinite(state.step + state.shift, rows, scale);
    throw trainingErrors.TRAIN_DIVERGED({
      step,
      what: Number.isFinite(loss) ? 'gradient norm' : 'loss',
      loss,
      gradNorm,
      where,
    });
  }

  /** Goes back to the last checkpoint, and on with the rows behind those of this step; false when there is none. */
  private async rollBack(): Promise<boolean> {
    await this.writer?.settle();
    const { latest } = (await this.store?.latest()) ?? {};
    if (!latest) return false;
    const { step, shift, rollbacks } = this.state;
    if (rollbacks >= mostRollbacks) {
      throw trainingErrors.TRAIN_SPIKES({ step: step + 1, times: rollbacks + 1, what: 'rolled back' });
    }
    const state = await readRunState(latest.path);
    await this.restore(latest.path, {
      ...state,
      shift: step + shift + 1 - state.step,
      rollbacks: rollbacks + 1,
    });
    await this.emit({ type: 'rolledBack', step: state.step, from: step + 1, path: latest.path });
    return true;
  }

  /** Evaluates when it is time; true when training should stop. */
  private async evaluateIfDue(): Promise<boolean> {
    const { heldOut, options, objective, signal } = this.spec;
    const { state } = this;
    const { steps = this.loader.stepsPerEpoch, keepBest, patience, batchSize = options.batchSize } = options.evaluation;
    if (!heldOut || (state.step % steps !== 0 && state.step !== this.totalSteps)) return false;
    if (state.step === 0 && !options.evaluation.onStart) return false;
    const outOfPatience = () => patience !== undefined && state.sinceBest >= patience;
    // A resumed run stands where the evaluation was made already.
    if (state.evaluations.at(-1)?.step === state.step) return outOfPatience();
    const begun = performance.now();
    const metrics = await this.withAverage(() =>
      evaluateRows(objective, heldOut.source, heldOut.rows, { batchSize, ...(signal ? { signal } : {}) }),
    );
    // An evaluation that was cut short says nothing; it is made again after resuming from before this step.
    if (signal?.aborted) return false;
    const evaluation = { step: state.step, metrics };
    const better = recordEvaluation(state, evaluation, options.evaluation);
    await this.emit({ type: 'evaluated', ...evaluation });
    if (better && keepBest) await this.checkpoint();
    this.progress.pause(performance.now() - begun);
    if (state.step === 0 || !outOfPatience()) return false;
    const reason = `the ${options.evaluation.metric} of held-out rows has not improved for ${patience} evaluations`;
    await this.emit({ type: 'stopped', step: state.step, reason });
    return true;
  }

  private checkpointDue(): boolean {
    const { steps, minutes } = this.spec.options.checkpoints;
    if (steps !== undefined && this.state.step % steps === 0) return true;
    return minutes !== undefined && performance.now() - this.lastCheckpoint.time >= minutes * 60_000;
  }

  /** Writes a checkpoint of the current step, unless there is one already. */
  private async checkpoint(): Promise<void> {
    const { writer, state, spec } = this;
    if (!writer || state.step === 0 || this.lastCheckpoint.step === state.step) return;
    const begun = performance.now();
    const best = spec.options.evaluation.keepBest ? state.best?.step : undefined;
    const fill = async (folder: string) => {
      await this.withAverage(async () => spec.saveWeights?.(folder));
      await saveTensors(spec.model.device, join(folder, stateFile), this.steps.state());
      await writeRunState(folder, { ...state, seconds: this.secondsSoFar() });
    };
    await writer.write(state.step, fill, best);
    this.lastCheckpoint = { step: state.step, time: performance.now() };
    this.progress.pause(performance.now() - begun);
  }

  /** Runs `work` with the average of the weights in the model, where one is kept. */
  private async withAverage<T>(work: () => Promise<T>): Promise<T> {
    const { average } = this.steps;
    average?.swap();
    try {
      return await work();
    } finally {
      average?.swap();
    }
  }

  private async restoreBest(step: number): Promise<void> {
    if (this.store && step !== this.state.step) await this.restoreTensors(this.store.pathOf(step));
  }

  private async restoreTensors(path: string): Promise<void> {
    const { model } = this.spec;
    await loadTensors(model.device, join(path, stateFile), this.steps.state());
    for (const parameter of model.trainableParameters().values()) parameter.refresh();
    await model.device.flush();
  }

  private secondsSoFar(): number {
    return this.state.seconds + (performance.now() - this.started) / 1000;
  }

  private async emit(event: TrainingEvent): Promise<void> {
    await this.spec.onEvent?.(event);
  }
}
