import { RandomKeys } from '../autograd/random.js';
import { Tape, withTape } from '../autograd/tape.js';
import * as commands from '../device/commands/index.js';
import type { ForwardOptions } from '../models/model.js';
import { scope, unscoped } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import { findNonfinite } from './find-nonfinite.js';
import type { HostLoss, Loss, Objective, RecordedLoss, Sum, Trainable } from './objective.js';
import { WeightAverage } from './optimizer/average.js';
import { Optimizer } from './optimizer/optimizer.js';
import type { TrainingOptions } from './options.js';
import { philoxBlock, type RandomStream, seedWords, streamOf } from './random.js';

/** What the forward and backward passes of an optimiser step gave. */
export interface StepOutcome {
  /** Sum of the loss over the step's batches, divided by their weight. */
  readonly loss: number;
  /** Global norm of the gradients before clipping. */
  readonly gradNorm: number;
  readonly tokens: number;
  /** What the loss was divided by. */
  readonly weight: number;
  readonly metrics: Readonly<Record<string, number>>;
}

/** Places of the step's results in one tensor, so that one copy brings them all. */
const [lossPlace, normPlace, firstMetric] = [0, 1, 3];
const maxMetrics = 13;

/**
 * Runs optimiser steps: `run` the forward and backward passes over each micro-batch, `update` what follows from them.
 * Commands are recorded while the device works; one copy at the end of `run` brings loss and norm back, and nothing has
 * changed by then, so that a step that must not count can be left out.
 */
export class StepRunner<Row, Batch> implements Disposable {
  readonly optimizer: Optimizer;
  readonly average: WeightAverage | undefined;
  private readonly results: Tensor;
  private readonly norm: Tensor;
  private metricNames: string[] = [];
  /** What the host computed of the step so far. */
  private host = { loss: 0, metrics: new Map<string, Sum>() };

  constructor(
    private readonly model: Trainable,
    private readonly objective: Objective<Row, Batch>,
    private readonly options: TrainingOptions,
  ) {
    const { device } = model;
    const parameters = model.trainableParameters();
    this.results = unscoped(() => Tensor.zeros(device, [firstMetric + maxMetrics], 'f32', 'persistent'));
    this.norm = unscoped(() => this.results.narrow(0, normPlace, 2));
    this.optimizer = new Optimizer(device, parameters, options.optimizer, this.norm, model.config?.numLayers ?? 0);
    const { averageDecay } = options;
    this.average = averageDecay === undefined ? undefined : new WeightAverage(parameters, averageDecay);
  }

  /**
   * Computes the loss and the gradients of step `step` (0 is the first). Undefined when `signal` was aborted meanwhile.
   * Loss and norm may be NaN or infinite; it is the caller's to look.
   * @param lossScale gradients are computed this many times as large, and divided by it where they are used
   */
  async run(
    step: number,
    microBatches: readonly (readonly Row[])[],
    signal?: AbortSignal,
    lossScale = 1,
  ): Promise<StepOutcome | undefined> {
    const { device } = this.model;
    const { objective } = this;
    const batches: Batch[] = [];
    for (const [index, rows] of microBatches.entries()) {
      batches.push(objective.collate(objective.prepare ? await objective.prepare(rows, { step, index }) : rows));
    }
    const total = (of: (batch: Batch) => number) => batches.reduce((sum, batch) => sum + of(batch), 0);
    const weight = total((batch) => objective.weight(batch));
    this.model.zeroGrad();
    this.host = { loss: 0, metrics: new Map() };
    commands.fill(device.recorder, 0, this.results);
    let running = Promise.resolve();
    for (const [i, batch] of batches.entries()) {
      await this.accumulate(batch, lossScale / Math.max(weight, 1), this.forwardOptions(step, i));
      if (i === batches.length - 1) break;
      // The device works on this micro-batch while the next one is recorded; at most two are on their way.
      const flushed = device.flush();
      flushed.catch(() => {});
      await running;
      running = flushed;
      if (signal?.aborted) {
        await flushed;
        return undefined;
      }
    }
    await running;
    this.optimizer.measure(1 / lossScale);
    const values = await this.results.floats();
    const at = (place: number) => values[place] as number;
    const metrics = {
      ...Object.fromEntries(this.metricNames.map((name, i) => [name, at(firstMetric + i) / Math.max(weight, 1)])),
      ...this.hostMetrics(),
    };
    const loss = (at(lossPlace) + this.host.loss) / Math.max(weight, 1);
    const tokens = total((batch) => objective.tokens(batch));
    return { loss, gradNorm: at(normPlace), tokens, weight, metrics };
  }

  /**
   * Moves the parameters by the gradients of the last `run`. The device begins at once; nobody waits for it.
   * @param update its number, from 1
   */
  update(update: number, learningRate: number): void {
    this.optimizer.step(update, learningRate);
    this.average?.follow(update);
    this.model.device.submit();
  }

  /** Where the first number of a step that is not finite comes from, in words; the step is computed once more for it. */
  async explainNonfinite(step: number, microBatches: readonly (readonly Row[])[], lossScale = 1) {
    const { device } = this.model;
    return await findNonfinite(device, this.model.trainableParameters(), async () => {
      await this.run(step, microBatches, undefined, lossScale);
    });
  }

  /** What a checkpoint holds of the parameters and of what moves them. */
  state(): Map<string, Tensor> {
    return new Map([...this.optimizer.state(), ...(this.average?.state() ?? [])]);
  }

  dispose(): void {
    this.optimizer.dispose();
    this.average?.[Symbol.dispose]();
    this.norm.dispose();
    this.results.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Records forward and backward of a micro-batch; gradients are added up in the parameters. */
  private async accumulate(batch: Batch, scale: number, forward: ForwardOptions): Promise<void> {
    using tape = new Tape();
    const hostLoss = scope(() => {
      const loss: Loss = withTape(tape, () => this.objective.loss(batch, { scale, forward }));
      if ('finish' in loss) return loss;
      this.finishOnDevice(loss, tape, scale);
      return undefined;
    });
    if (hostLoss) await this.finishOnHost(hostLoss, tape);
  }

  /** Means of what the host computed; a figure that nothing in the step has is left out. */
  private hostMetrics(): Record<string, number> {
    const figures = [...this.host.metrics].filter(([, { weight }]) => weight > 0);
    return Object.fromEntries(figures.map(([name, { sum, weight }]) => [name, sum / weight]));
  }

  private finishOnDevice(loss: RecordedLoss, tape: Tape, scale: number): void {
    const { recorder } = this.model.device;
    commands.reduce(recorder, 'sum', loss.values, this.results.narrow(0, lossPlace, 1), true);
    this.metricNames = Object.keys(loss.metrics ?? {});
    if (this.metricNames.length > maxMetrics) throw new RangeError(`an objective has at most ${maxMetrics} metrics`);
    for (const [i, name] of this.metricNames.entries()) {
      const sum = loss.metrics?.[name] as Tensor;
      commands.reduce(recorder, 'sum', sum, this.results.narrow(0, firstMetric + i, 1), true);
    }
    if (loss.fused) tape.backward();
    else tape.backward({ tensor: loss.values, gradient: Tensor.full(loss.values.device, loss.values.shape, scale) });
  }

  private async finishOnHost({ values, reads, finish }: HostLoss, tape: Tape): Promise<void> {
    try {
      const read = await Promise.all(reads.map((tensor) => (tensor.dtype === 'i32' ? tensor.ints() : tensor.floats())));
      const { loss, gradient, metrics } = finish(read);
      this.host.loss += loss;
      for (const [name, { sum, weight }] of Object.entries(metrics)) {
        const before = this.host.metrics.get(name) ?? { sum: 0, weight: 0 };
        this.host.metrics.set(name, { sum: before.sum + sum, weight: before.weight + weight });
      }
      scope(() =>
        tape.backward({ tensor: values, gradient: Tensor.from(values.device, gradient, values.shape, 'f32') }),
      );
    } finally {
      for (const tensor of new Set([values, ...reads])) tensor.dispose();
    }
  }

  /** Keys of everything random in a micro-batch, drawn from the run's seed and the micro-batch's number alone. */
  private forwardOptions(step: number, microBatch: number): ForwardOptions {
    const { seed, accumulation, neftuneAlpha, gradientCheckpointing } = this.options;
    const keys = (purpose: RandomStream) => {
      const words = new Uint32Array(4);
      philoxBlock(...seedWords(seed), step * accumulation + microBatch, streamOf(purpose), words);
      return new RandomKeys(words[0] as number, words[1] as number);
    };
    return {
      checkpointing: gradientCheckpointing,
      dropout: keys('dropout'),
      ...(neftuneAlpha === undefined ? {} : { noise: { alpha: neftuneAlpha, keys: keys('noise') } }),
    };
  }
}
