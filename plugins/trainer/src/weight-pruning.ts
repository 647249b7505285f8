import {
  type CausalLanguageModel,
  commands,
  type Parameter,
  Tensor,
  type TrainingEvent,
  unscoped,
} from '@largeforge/engine';
import { z } from 'zod';

/** Weights that are 0 while a model is trained in full. */
export const pruningOptions = z.strictObject({
  keepZeros: z.boolean().default(false).describe('weights that are 0 at the beginning stay 0: training after pruning'),
  sparsity: z
    .number()
    .min(0)
    .lt(1)
    .optional()
    .describe('share of the weights of every layer that are 0 at the end, the smallest ones'),
  initialSparsity: z.number().min(0).lt(1).default(0).describe('the same where pruning begins'),
  beginRatio: z.number().min(0).lt(1).default(0).describe('share of the steps before pruning begins'),
  endRatio: z.number().min(0).max(1).default(0.75).describe('share of the steps after which no more are pruned'),
  every: z.int().positive().default(10).describe('steps from one round of pruning to the next'),
});

export type PruningOptions = z.output<typeof pruningOptions>;

/**
 * The cubic schedule of Zhu and Gupta (2017, equation 1): many weights go while there are many.
 * @returns the share of zeros after `step` of `total` steps; undefined before pruning begins
 */
export function scheduledSparsity(
  { sparsity = 0, initialSparsity, beginRatio, endRatio }: PruningOptions,
  step: number,
  total: number,
): number | undefined {
  const [begin, end] = [beginRatio * total, Math.max(endRatio, beginRatio) * total];
  if (step < begin) return undefined;
  const done = end > begin ? Math.min(1, (step - begin) / (end - begin)) : 1;
  return sparsity + (initialSparsity - sparsity) * (1 - done) ** 3;
}

/** Makes weights of linear layers 0 as a training goes on, and keeps them 0. */
export class WeightPruning implements Disposable {
  private readonly masks = new Map<Parameter, Tensor>();

  constructor(
    private readonly model: CausalLanguageModel,
    private readonly options: PruningOptions,
  ) {}

  /** Finds the weights that are 0 as training begins, or goes on. */
  async start(): Promise<void> {
    if (this.options.keepZeros) await this.maskEach((values) => values.map((value) => (value === 0 ? 0 : 1)));
  }

  /** To be called with every event of the loop: after a step, weights that are pruned are 0 again. */
  async follow(event: TrainingEvent): Promise<void> {
    // What a checkpoint holds as 0 was pruned before it.
    if (event.type === 'resumed' && event.step > 0) {
      await this.maskEach((values) => values.map((value) => (value === 0 ? 0 : 1)));
    }
    if (event.type !== 'step') return;
    const { every, sparsity } = this.options;
    const { step, totalSteps } = event;
    if (sparsity !== undefined && (step % every === 0 || step === totalSteps)) {
      const share = scheduledSparsity(this.options, step, totalSteps);
      // Weights that are 0 are among the smallest: what is pruned stays pruned.
      if (share !== undefined) await this.maskEach((values) => largestMask(values, share));
    }
    this.apply();
  }

  [Symbol.dispose](): void {
    for (const mask of this.masks.values()) mask.dispose();
    this.masks.clear();
  }

  private apply(): void {
    const { recorder } = this.model.device;
    for (const [weight, mask] of this.masks) {
      const master = weight.master!;
      commands.binary(recorder, 'mul', master, mask, master);
      weight.refresh();
    }
  }

  private async maskEach(maskOf: (values: Float32Array) => Float32Array): Promise<void> {
    const { device } = this.model;
    for (const { weight } of this.model.linears.values()) {
      // Layers that are frozen are left as they are.
      if (!weight.master) continue;
      const values = await weight.master.floats();
      this.masks.get(weight)?.dispose();
      const mask = unscoped(() => Tensor.from(device, maskOf(values), weight.shape, 'f32', 'persistent'));
      this.masks.set(weight, mask);
    }
  }
}

/** 1 for all but a share of values of least magnitude, 0 for these; of equal ones the first go. */
export function largestMask(values: Float32Array, share: number): Float32Array {
  const count = Math.round(values.length * share);
  const mask = new Float32Array(values.length).fill(1);
  if (count === 0) return mask;
  const sizes = values.map(Math.abs);
  const threshold = sizes.slice().sort()[count - 1]!;
  let left = count;
  for (let i = 0; i < sizes.length; i++) {
    if (sizes[i]! < threshold) {
      mask[i] = 0;
      left--;
    }
  }
  for (let i = 0; left > 0; i++) {
    if (sizes[i] !== threshold) continue;
    mask[i] = 0;
    left--;
  }
  return mask;
}
