import type { Device } from '../device/device.js';
import type { FloatDType } from '../device/dtype.js';
import { architectureOf } from './architectures/index.js';
import type { ModelConfig } from './config.js';
import { modelErrors } from './errors.js';
import type { CausalLanguageModel, LanguageModel } from './model.js';
import { FileWeights, RandomWeights, type WeightFiles, type WeightPrecision } from './weights.js';

export interface LoadOptions {
  /** Precision of activations and matrices: bf16 unless given. Norms, biases and sums are f32 in any case. */
  readonly dtype?: FloatDType;
  /** Precision of frozen matrices, where it is not that of activations. */
  readonly weights?: WeightPrecision;
}

/**
 * Builds the model that files describe. Its weights are read when they are first needed, straight from the mapped files.
 * Throws LF_ENGINE_UNKNOWN_ARCHITECTURE, _MODEL_CONFIG, _MISSING_TENSORS, _UNKNOWN_TENSORS, _TENSOR_SHAPE or
 * _TENSOR_DTYPE.
 */
export function loadModelFiles(
  device: Device,
  files: WeightFiles,
  { dtype = 'bf16', weights: precision }: LoadOptions = {},
): LanguageModel {
  const architecture = architectureOf(files.config);
  const config = architecture.parse(files.config);
  const weights = new FileWeights(device, dtype, files, architecture.prefix, precision);
  const model = architecture.build(device, dtype, config, weights);
  weights.check(config.modelType, ['lm_head.weight']);
  return model;
}

/** The config.json of a model in the engine's terms. */
export function parseModelConfig(raw: Readonly<Record<string, unknown>>): ModelConfig {
  return architectureOf(raw).parse(raw);
}

/** A model with random weights, as transformers initialises it; the same seed gives the same weights. */
export function createModel(
  device: Device,
  config: Readonly<Record<string, unknown>>,
  { dtype = 'f32', seed = 0 }: LoadOptions & { seed?: number } = {},
): LanguageModel {
  const architecture = architectureOf(config);
  const parsed = architecture.parse(config);
  return architecture.build(device, dtype, parsed, new RandomWeights(device, dtype, parsed.initializerRange, seed));
}

/** A model as a causal language model. Throws LF_ENGINE_NOT_CAUSAL when it is an encoder. */
export function asCausal(model: LanguageModel): CausalLanguageModel {
  if (model.kind !== 'causal') throw modelErrors.NOT_CAUSAL({ modelType: model.config.modelType });
  return model;
}
