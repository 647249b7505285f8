import type { TrainingOptions } from './options.js';
import { type Bins, packBestFitDecreasing, unpackedBins } from './packing.js';
import type { RowSource } from './row-source.js';
import { BatchSampler, type SamplerCursor } from './sampler.js';

/** The rows of each micro-batch of an optimiser step. */
export type StepRows<Row> = readonly (readonly Row[])[];

/** Reads the rows of each optimiser step, the next step's while the current one computes. */
export class BatchLoader<Row> {
  private readonly bins: Bins;
  private readonly sampler: BatchSampler;
  private ahead: { step: number; rows: Promise<StepRows<Row>> } | undefined;

  /** @param rows indices of the rows of the source that are trained on */
  constructor(
    private readonly source: RowSource<Row>,
    rows: ArrayLike<number>,
    options: Pick<TrainingOptions, 'packing' | 'batchSize' | 'accumulation' | 'order' | 'seed'>,
  ) {
    this.bins =
      options.packing === undefined
        ? unpackedBins(rows)
        : packBestFitDecreasing(source.lengths, options.packing, { rows });
    this.sampler = new BatchSampler({ ...options, length: this.units });
  }

  /** Rows, or bins of packed rows. */
  get units(): number {
    return this.bins.starts.length - 1;
  }

  get stepsPerEpoch(): number {
    return this.sampler.stepsPerEpoch;
  }

  cursor(steps: number): SamplerCursor {
    return this.sampler.cursor(steps);
  }

  /** Rows of step `step` (0 is the first), and begins to read those of the next. */
  async load(step: number): Promise<StepRows<Row>> {
    const wanted = this.ahead?.step === step ? this.ahead.rows : this.read(step);
    const rows = await wanted;
    const next = this.read(step + 1);
    // Whoever asks for it sees a failure; nobody else must.
    next.catch(() => {});
    this.ahead = { step: step + 1, rows: next };
    return rows;
  }

  private async read(step: number): Promise<StepRows<Row>> {
    const batches: Row[][] = [];
    for (const units of this.sampler.batches(step)) {
      const rows: number[] = [];
      for (const unit of units) {
        for (let i = this.bins.starts[unit] as number; i < (this.bins.starts[unit + 1] as number); i++) {
          rows.push(this.bins.rows[i] as number);
        }
      }
      batches.push(await this.source.read(rows));
    }
    return batches;
  }
}
