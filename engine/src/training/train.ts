import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { BatchLoader } from './batch-loader.js';
import { checkSameRun, type RunIdentity, type RunState, readRunState, writeRunState } from './checkpoint/run-state.js';
import { CheckpointStore } from './checkpoint/store.js';
import { loadTensors, saveTensors } from './checkpoint/tensor-file.js';
import { trainingErrors } from './errors.js';
import { evaluateRows } from './evaluate.js';
import type { TrainingEvent } from './events.js';
import type { Objective, Trainable } from './objective.js';
import type { TrainingOptions } from './options.js';
import { Progress } from './progress.js';
import type { RowSource } from './row-source.js';
import { learningRate } from './schedule.js';
import { type StepOutcome, StepRunner } from './step-runner.js';

const stateFile = 'training_state.safetensors';

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
  /** Loss of each step. */
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
    loop.dispose();
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
  private readonly totalSteps: number;
  private readonly identity: RunIdentity;
  private state: RunState;
  private progress: Progress;
  private started = performance.now();
  private lastCheckpoint = { step: 0, time: performance.now() };

  constructor(private readonly spec: TrainingRun<Row, Batch>) {
    const { model, objective, rows, options, heldOut } = spec;
    const parameters = model.trainableParameters();
    if (parameters.size === 0) throw trainingErrors.TRAIN_NOTHING_TRAINABLE();
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
    this.store = spec.folder === undefined ? undefined : new CheckpointStore(spec.folder, options.checkpoints.keep);
    const shapes = [...parameters].map(([name, { shape }]) => `${name} ${shape.join('x')}`);
    this.identity = {
      objective: objective.name,
      data: heldOut ? `${rows.fingerprint}/${heldOut.source.fingerprint}` : rows.fingerprint,
      rows: training.length,
      units: this.loader.units,
      totalSteps: this.totalSteps,
      seed: options.seed,
      order: options.order,
      batchSize: options.batchSize,
      accumulation: options.accumulation,
      packing: options.packing ?? null,
      neftuneAlpha: options.neftuneAlpha ?? null,
      optimizer: options.optimizer,
      schedule: JSON.parse(JSON.stringify(options.schedule)) as Record<string, string | number>,
      parameters: createHash('sha256').update(shapes.join('\n')).digest('hex'),
    };
    this.state = {
      version: 1,
      run: this.identity,
      step: 0,
      cursor: this.loader.cursor(0),
      tokens: 0,
      seconds: 0,
      evaluations: [],
      best: null,
      sinceBest: 0,
      losses: [],
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
    }
    await this.checkpoint();
    if (!aborted && options.evaluation.keepBest && this.state.best) await this.restoreBest(this.state.best.step);
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

  dispose(): void {
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
    await this.restoreTensors(path);
    this.state = state;
    this.started = performance.now();
    this.lastCheckpoint = { step, time: this.started };
    this.progress = new Progress(this.totalSteps, step, this.started);
    await this.emit({ type: 'resumed', step, path });
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
    const rows = await this.loader.load(state.step);
    const outcome = await this.steps.run(state.step, rows, rate, signal);
    if (!outcome) return false;
    this.refuseDivergence(outcome);
    state.step++;
    state.cursor = this.loader.cursor(state.step);
    state.tokens += outcome.tokens;
    state.losses.push(outcome.loss);
    const speed = this.progress.advance(state.step, outcome.tokens, performance.now());
    await this.emit({
      type: 'step',
      step: state.step,
      totalSteps: this.totalSteps,
      epoch: state.step / this.loader.stepsPerEpoch,
      loss: outcome.loss,
      learningRate: rate,
      gradNorm: outcome.gradNorm,
      ...speed,
      memoryBytes: this.spec.model.device.memory().peak,
      metrics: outcome.metrics,
    });
    return true;
  }

  private refuseDivergence({ loss, gradNorm, weight }: StepOutcome): void {
    const step = this.state.step + 1;
    if (weight === 0) throw trainingErrors.TRAIN_NO_TARGETS({ step });
    if (!Number.isFinite(loss)) throw trainingErrors.TRAIN_DIVERGED({ step, what: 'loss', loss, gradNorm });
    if (!Number.isFinite(gradNorm))
      throw trainingErrors.TRAIN_DIVERGED({ step, what: 'gradient norm', loss, gradNorm });
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
    const metrics = await evaluateRows(objective, heldOut.source, heldOut.rows, {
      batchSize,
      ...(signal ? { signal } : {}),
    });
    // An evaluation that was cut short says nothing; it is made again after resuming from before this step.
    if (signal?.aborted) return false;
    const evaluation = { step: state.step, metrics };
    state.evaluations.push(evaluation);
    if (state.step === 0) {
      // What the run starts from is there to be compared with; it is no candidate for the best weights.
      await this.emit({ type: 'evaluated', ...evaluation });
      this.progress.pause(performance.now() - begun);
      return false;
    }
    const better = state.best === null || (metrics.loss as number) < (state.best.metrics.loss as number);
    state.sinceBest = better ? 0 : state.sinceBest + 1;
    if (better) state.best = evaluation;
    await this.emit({ type: 'evaluated', ...evaluation });
    if (better && keepBest) await this.checkpoint();
    this.progress.pause(performance.now() - begun);
    if (!outOfPatience()) return false;
    const reason = `the loss on held-out rows has not improved for ${patience} evaluations`;
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
    const { store, state, spec } = this;
    if (!store || state.step === 0 || this.lastCheckpoint.step === state.step) return;
    const begun = performance.now();
    const best = spec.options.evaluation.keepBest ? state.best?.step : undefined;
    const write = async (folder: string) => {
      await spec.saveWeights?.(folder);
      await saveTensors(spec.model.device, join(folder, stateFile), this.steps.optimizer.state());
      await writeRunState(folder, { ...state, seconds: this.secondsSoFar() });
    };
    const path = await store.save(state.step, write, best);
    this.lastCheckpoint = { step: state.step, time: performance.now() };
    this.progress.pause(performance.now() - begun);
    await this.emit({ type: 'checkpoint', step: state.step, path });
  }

  private async restoreBest(step: number): Promise<void> {
    if (this.store && step !== this.state.step) await this.restoreTensors(this.store.pathOf(step));
  }

  private async restoreTensors(path: string): Promise<void> {
    const { model } = this.spec;
    await loadTensors(model.device, join(path, stateFile), this.steps.optimizer.state());
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
