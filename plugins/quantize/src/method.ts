import type { CausalLanguageModel, Device, Linear, QuantizedWeight } from '@largeforge/engine';
import type { CalibrationStream } from './calibration/stream.js';
import type { QuantizationScheme } from './checkpoint/format.js';

/** What a linear layer became. */
export interface QuantizedLinear {
  readonly weight: QuantizedWeight;
  /** Squared error of the layer's outputs on the calibration rows over the outputs themselves, where it is known. */
  readonly relativeError?: number;
}

/** One layer of a model, on its turn. The calibration stream holds what enters it. */
export interface LayerTask {
  readonly device: Device;
  readonly model: CausalLanguageModel;
  readonly layer: number;
  readonly linears: readonly Linear[];
  readonly stream: CalibrationStream;
  readonly scheme: QuantizationScheme;
  readonly signal: AbortSignal;
  /** Hands over a quantised layer. From now on the model computes with it. Each layer is handed over once. */
  keep(linear: Linear, quantized: QuantizedLinear): Promise<void>;
}

/** Quantises every linear layer of one layer of a model. */
export type QuantizationMethod = (task: LayerTask) => Promise<void>;
