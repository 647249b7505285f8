import type { Tensor } from '../../tensor/tensor.js';

/**
 * The values of a frozen weight in fewer bits than a float has, on the device. They are decoded when a product needs them,
 * one weight at a time: what is kept is the codes.
 */
export interface FrozenCodes extends Disposable {
  /** Of everything that is kept. */
  readonly bytes: number;
  /** Records that `out`, a contiguous tensor of the weight's shape, receives the values. */
  decode(out: Tensor): void;
}
