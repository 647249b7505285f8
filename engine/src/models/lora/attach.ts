import type { RandomKey } from '../../device/commands/data.js';
import * as commands from '../../device/commands/index.js';
import type { Device } from '../../device/device.js';
import type { FloatDType } from '../../device/dtype.js';
import type { Linear } from '../../nn/linear.js';
import { Parameter } from '../../nn/parameter.js';
import type { DoraScale } from '../../ops/dora.js';
import { unscoped } from '../../tensor/scope.js';
import { Tensor } from '../../tensor/tensor.js';
import { modelErrors } from '../errors.js';
import type { LanguageModel } from '../model.js';
import { type LoraConfig, type LoraOptions, loraConfig, loraScale } from './config.js';
import { PEFT_PREFIX } from './parameters.js';
import { byPattern, lastParts, targetLayers } from './targets.js';

/** An adapter on a model: its settings, and what else is trained and saved with it. */
export interface LoraAdapter {
  readonly config: LoraConfig;
  /** Layers that have a branch. */
  readonly modules: readonly string[];
  /** Parameters of the base model that are trained too (biases, modules in full), by the names that PEFT saves. */
  readonly extras: ReadonlyMap<string, Parameter>;
}

const adapters = new WeakMap<LanguageModel, LoraAdapter>();

/** The adapter that is attached to a model, if any. */
export function attachedAdapter(model: LanguageModel): LoraAdapter | undefined {
  return adapters.get(model);
}

/**
 * Freezes a model and gives its layers trainable low-rank branches, A uniform in +-1/sqrt(in) (Kaiming with a = sqrt(5))
 * and B zero, as PEFT does: until it is trained, the model computes what it did. Throws LF_ENGINE_LORA_TARGETS,
 * _LORA_OPTION, or _LORA_ATTACHED.
 */
export function attachLora(model: LanguageModel, options: LoraOptions = {}): LoraAdapter {
  const config = loraConfig(options);
  const modules = targetLayers(model.linears, config.targetModules);
  const seed = options.seed ?? 0;
  return attach(model, config, modules, { trainable: true }, (a, b, index) => {
    const bound = 1 / Math.sqrt(a.shape[1]!);
    const key: RandomKey = { seedLow: seed >>> 0, seedHigh: Math.floor(seed / 2 ** 32) >>> 0, stream: index };
    commands.random(model.device.recorder, 'uniform', -bound, bound, key, a);
    commands.fill(model.device.recorder, 0, b);
  });
}

/** Attaches branches whose values `initialise` writes to a [r, in] and b [out, r], f32. */
export function attach(
  model: LanguageModel,
  config: LoraConfig,
  modules: readonly string[],
  { trainable }: { trainable: boolean },
  initialise: (a: Tensor, b: Tensor, index: number, module: string) => void,
): LoraAdapter {
  if (adapters.has(model)) throw modelErrors.LORA_ATTACHED();
  if (config.dora && config.dropout > 0 && trainable) {
    throw modelErrors.LORA_OPTION({
      option: 'dropout',
      reason: 'DoRA has none: its branch and its base share one input',
    });
  }
  const extras = extraParameters(model, config, modules);
  model.setTrainable(false);
  modules.forEach((name, index) => {
    const layer = model.linears.get(name)!;
    const r = byPattern(name, config.rankPattern, config.r);
    const alpha = byPattern(name, config.alphaPattern, config.alpha);
    const a = branch(model.device, [r, layer.inFeatures]);
    const b = branch(model.device, [layer.outFeatures, r]);
    initialise(a, b, index, name);
    layer.adapter = {
      a: branchParameter(a, `${name}.lora_A.weight`, model.dtype, trainable),
      b: branchParameter(b, `${name}.lora_B.weight`, model.dtype, trainable),
      scale: loraScale(alpha, r, config.rslora),
      dropout: config.dropout,
      ...(config.dora ? { dora: doraScale(layer, trainable) } : {}),
    };
    layer.adapterEnabled = true;
  });
  if (trainable) for (const parameter of extras.values()) parameter.trainable = true;
  const adapter = { config, modules, extras };
  adapters.set(model, adapter);
  return adapter;
}

/**
 * Whether the branches take part. Off, the model computes what its base does, unless biases or whole modules were
 * trained: then it throws LF_ENGINE_LORA_OPTION, for the base's own values are gone.
 */
export function setAdapterEnabled(model: LanguageModel, on: boolean): void {
  const adapter = adapters.get(model);
  if (!on && adapter && adapter.extras.size > 0) {
    const reason = 'the adapter trains biases or whole modules, so the base cannot be had by switching it off';
    throw modelErrors.LORA_OPTION({ option: adapter.config.bias !== 'none' ? 'bias' : 'modulesToSave', reason });
  }
  for (const layer of model.linears.values()) layer.adapterEnabled = on;
  model.device.revise();
}

/** Takes the branches off and frees them. What was trained of the base model stays as it is. */
export function detachLora(model: LanguageModel): void {
  for (const layer of model.linears.values()) {
    layer.adapter?.a.dispose();
    layer.adapter?.b.dispose();
    layer.adapter?.dora?.magnitude.dispose();
    layer.adapter?.dora?.rowSquares.dispose();
    layer.adapter = undefined;
  }
  adapters.delete(model);
}

/** Row by row, what the frozen weight begins with: its own lengths. */
function doraScale({ name, weight }: Linear, trainable: boolean): DoraScale {
  const { device } = weight;
  const rowSquares = unscoped(() => Tensor.empty(device, [weight.shape[0]!], 'f32', 'persistent'));
  const lengths = unscoped(() => Tensor.empty(device, [weight.shape[0]!], 'f32', 'persistent'));
  using values = unscoped(() => weight.rounded());
  commands.reduce(device.recorder, 'sumSquares', values, rowSquares);
  commands.unary(device.recorder, 'sqrt', rowSquares, lengths);
  return { rowSquares, magnitude: Parameter.of(lengths, `${name}.lora_magnitude_vector`, { trainable }) };
}

function branch(device: Device, shape: readonly number[]): Tensor {
  return unscoped(() => Tensor.empty(device, shape, 'f32', 'persistent'));
}

function branchParameter(values: Tensor, name: string, dtype: FloatDType, trainable: boolean): Parameter {
  // Strided in any case: the branch is small, and what LINEAR takes for it is strided.
  return Parameter.of(values, name, { trainable, dtype });
}

/** Parameters of the base model that are trained with the adapter. */
function extraParameters(
  model: LanguageModel,
  { bias, modulesToSave }: LoraConfig,
  modules: readonly string[],
): Map<string, Parameter> {
  const extras = new Map<string, Parameter>();
  const parameters = model.parameters();
  const targeted = new Set(modules);
  if (bias !== 'none') {
    for (const [name, parameter] of parameters) {
      if (!name.endsWith('.bias')) continue;
      const module = name.slice(0, -'.bias'.length);
      if (targeted.has(module)) extras.set(`${PEFT_PREFIX}${module}.base_layer.bias`, parameter);
      else if (bias === 'all') extras.set(PEFT_PREFIX + name, parameter);
    }
  }
  for (const module of modulesToSave) {
    const option = 'modulesToSave';
    if (model.kind === 'causal' && model.config.tieWordEmbeddings && /(^|\.)(lm_head|embed_tokens)$/.test(module)) {
      throw modelErrors.LORA_OPTION({ option, reason: `${module} shares its weight with the other end of the model` });
    }
    const matching = [...parameters].filter(([name]) => `.${name}`.includes(`.${module}.`));
    if (matching.length === 0) {
      const known = lastParts([...parameters.keys()].map((name) => name.slice(0, name.lastIndexOf('.'))));
      throw modelErrors.LORA_OPTION({
        option,
        reason: `no module is called "${module}"; there are ${known.join(', ')}`,
      });
    }
    for (const [name, parameter] of matching) extras.set(PEFT_PREFIX + name, parameter);
  }
  return extras;
}
