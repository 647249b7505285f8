import { permutation, streamOf } from './random.js';

export interface SamplerOptions {
  /** Units of an epoch: rows, or bins of packed rows. */
  readonly length: number;
  /** Units of a micro-batch. */
  readonly batchSize: number;
  /** Micro-batches of an optimiser step. */
  readonly accumulation: number;
  readonly order: 'shuffle' | 'sequential';
  readonly seed: number;
}

/** Where a run stands in its data; kept in checkpoints and checked when they are resumed. */
export interface SamplerCursor {
  readonly epoch: number;
  /** Units of the epoch that were used. */
  readonly position: number;
}

/**
 * Says which units each optimiser step takes. As in transformers' Trainer, no step crosses the end of an epoch: the
 * last micro-batch of an epoch may be smaller, its last step may have fewer micro-batches.
 *
 * A step's units are a function of its number (each epoch's order is drawn from the seed and the epoch), so the cursor
 * of a checkpoint is its step number.
 */
export class BatchSampler {
  readonly microBatchesPerEpoch: number;
  readonly stepsPerEpoch: number;
  private order: { epoch: number; units: Uint32Array } | undefined;

  constructor(private readonly options: SamplerOptions) {
    this.microBatchesPerEpoch = Math.ceil(options.length / options.batchSize);
    this.stepsPerEpoch = Math.ceil(this.microBatchesPerEpoch / options.accumulation);
  }

  /** Units of each micro-batch of optimiser step `step` (0 is the first). */
  batches(step: number): Uint32Array[] {
    const { length, batchSize, accumulation } = this.options;
    const units = this.unitsOf(Math.floor(step / this.stepsPerEpoch));
    const first = (step % this.stepsPerEpoch) * accumulation;
    const end = Math.min(first + accumulation, this.microBatchesPerEpoch);
    const batches: Uint32Array[] = [];
    for (let batch = first; batch < end; batch++) {
      batches.push(units.subarray(batch * batchSize, Math.min((batch + 1) * batchSize, length)));
    }
    return batches;
  }

  /** Where the data stands when `steps` optimiser steps are done. */
  cursor(steps: number): SamplerCursor {
    const { length, batchSize, accumulation } = this.options;
    return {
      epoch: Math.floor(steps / this.stepsPerEpoch),
      position: Math.min((steps % this.stepsPerEpoch) * accumulation * batchSize, length),
    };
  }

  private unitsOf(epoch: number): Uint32Array {
    if (this.order?.epoch === epoch) return this.order.units;
    const { length, order, seed } = this.options;
    const units =
      order === 'shuffle'
        ? permutation(length, seed, streamOf('shuffle', epoch))
        : Uint32Array.from({ length }, (_, unit) => unit);
    this.order = { epoch, units };
    return units;
  }
}

/**
 * Splits rows into training and held-out ones, by the seed alone.
 * @param heldOut rows to hold out: a count when it is 1 or more, else a share of all rows (at least one row)
 */
export function splitRows(
  rows: number,
  heldOut: number,
  seed: number,
): { training: Uint32Array; heldOut: Uint32Array } {
  const count = heldOut >= 1 ? Math.floor(heldOut) : Math.max(1, Math.round(heldOut * rows));
  const order = permutation(rows, seed, streamOf('split'));
  // Each part keeps the order of the file, so that sequential training means what it says.
  return { heldOut: order.slice(0, count).sort(), training: order.slice(count).sort() };
}
