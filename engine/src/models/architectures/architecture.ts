import type { Device } from '../../device/device.js';
import type { FloatDType } from '../../device/dtype.js';
import type { ModelConfig } from '../config.js';
import type { LanguageModel } from '../model.js';
import type { WeightProvider } from '../weights.js';

/** A family of models: how its config.json reads, and how a model is built from it. */
export interface Architecture {
  /** Values of `model_type` that it serves. */
  readonly modelTypes: readonly string[];
  /** What checkpoints of the family put before tensor names, or leave out: "model.", "bert.". */
  readonly prefix: string;
  /** Reads config.json. Throws LF_ENGINE_MODEL_CONFIG. */
  parse(raw: Readonly<Record<string, unknown>>): ModelConfig;
  build(device: Device, dtype: FloatDType, config: ModelConfig, weights: WeightProvider): LanguageModel;
}
