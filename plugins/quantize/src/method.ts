import type { CausalLanguageModel, Device, Linear, QuantizedWeight, ScaleDType } from '@largeforge/engine';
import type { SharedInput, Smoothing } from './calibration/stream.js';
import type { LayerScheme } from './checkpoint/scheme.js';

/** What a linear layer became. */
export interface QuantizedLinear {
  readonly weight: QuantizedWeight;
  /** Squared error of the layer's outputs on the calibration rows over the outputs themselves, where it is known. */
  readonly relativeError?: number;
}

/** One layer of a model, or its head, on its turn. */
export interface LayerTask {
  readonly device: Device;
  readonly model: CausalLanguageModel;
  /** Undefined for the head. */
  readonly layer: number | undefined;
  /** The linear layers that are to be quantised. */
  readonly linears: readonly Linear[];
  /** How each of them is quantised. */
  schemeOf(linear: Linear): LayerScheme & { readonly scaleDType: ScaleDType };
  /** Runs the calibration text through the layer, as it is now: X^T X of what each of some linear layers reads. */
  squares(linears: readonly Linear[]): Promise<SharedInput[]>;
  /**
   * Takes the calibration text through the layer for good, each part of it once: `change` quantises the linear layers that
   * read one input before they run, on what those before them, quantised, have made of the text. In place of `squares`.
   * @param smoothing changes what norms make first; of no use for the head
   */
  inParts(change: (input: SharedInput) => Promise<void>, smoothing?: Smoothing): Promise<void>;
  readonly signal: AbortSignal;
  /** Hands over a quantised layer. From now on the model computes with it. Each layer is handed over once. */
  keep(linear: Linear, quantized: QuantizedLinear): Promise<void>;
}

/** Quantises every linear layer of one layer of a model. */
export type QuantizationMethod = (task: LayerTask) => Promise<void>;
