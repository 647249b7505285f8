import type { Tensor } from '../tensor/tensor.js';

/** A rank's part in a model that is split among devices (tensor parallelism, Shoeybi et al. 2019, section 3). */
export interface Shard {
  readonly rank: number;
  readonly ways: number;
  /** Replaces x, contiguous floats, by the sum of every rank's x. */
  sum(x: Tensor): void;
  /** Every rank's x [rows, columns] as [rows, ways, columns]. */
  gatherColumns(x: Tensor): Tensor;
}

/** Rows of the vocabulary that each rank has; the last one's are filled up with zeros. */
export const vocabularyRows = (vocabSize: number, ways: number): number => Math.ceil(vocabSize / ways);
