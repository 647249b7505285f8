import * as commands from '../../device/commands/index.js';
import type { Device } from '../../device/device.js';
import type { FloatDType } from '../../device/dtype.js';
import {
  type AdapterSource,
  readAdapter,
  type TokenizerSource,
  writeAdapter,
  writeTokenizerFiles,
} from '../../formats/index.js';
import { Tensor } from '../../tensor/tensor.js';
import { modelErrors } from '../errors.js';
import type { LanguageModel } from '../model.js';
import { parameterToWrite } from '../save.js';
import { transpose } from '../weight-source.js';
import { attach, attachedAdapter, type LoraAdapter } from './attach.js';
import { adapterConfigJson, type LoraConfig, loraScale, parseAdapterConfig } from './config.js';
import { adapterParameters, PEFT_PREFIX } from './parameters.js';
import type { ServedAdapter } from './served.js';
import { byPattern, type TargetModules, targetLayers } from './targets.js';

const BRANCH = /^base_model\.model\.(.+)\.lora_(?:[AB]\.weight|magnitude_vector)$/;

export interface SaveAdapterOptions {
  readonly dtype?: FloatDType;
  /** What the adapter says that it is for; as it was loaded with unless given. */
  readonly baseModel?: string;
  /** Written beside the adapter: what it was trained with. */
  readonly tokenizer?: TokenizerSource;
}

/** An adapter's files, sorted by what they are for. */
interface ReadAdapter {
  readonly config: LoraConfig;
  readonly files: AdapterSource;
  /** Layers with a branch. */
  readonly modules: readonly string[];
  /** Names of tensors that are no branch. */
  readonly extras: readonly string[];
}

function read(model: LanguageModel, path: string): ReadAdapter {
  const files = readAdapter(path);
  const config = parseAdapterConfig(path, files.config);
  const names = [...files.tensors.keys()];
  const found = new Set(names.flatMap((name) => BRANCH.exec(name)?.[1] ?? []));
  const modules = [...model.linears.keys()].filter((name) => found.has(name));
  const known = new Set(modules);
  const missing = modules.flatMap((module) => branchNames(module, config).filter((name) => !files.tensors.has(name)));
  const unknown = names.filter((name) => {
    const module = BRANCH.exec(name)?.[1];
    if (module === undefined) return /\.lora_/.test(name);
    return !known.has(module) || (!config.dora && name.endsWith('.lora_magnitude_vector'));
  });
  if (modules.length === 0) missing.push('every lora_A and lora_B');
  if (missing.length > 0 || unknown.length > 0) throw modelErrors.ADAPTER_TENSORS({ path, missing, unknown });
  return { config, files, modules, extras: names.filter((name) => !BRANCH.test(name)) };
}

const branchNames = (module: string, { dora }: Pick<LoraConfig, 'dora'>) => [
  ...['A', 'B'].map((side) => `${PEFT_PREFIX}${module}.lora_${side}.weight`),
  ...(dora ? [`${PEFT_PREFIX}${module}.lora_magnitude_vector`] : []),
];

/**
 * Attaches an adapter from a folder that PEFT or `saveAdapter` wrote. It is applied to every row; `trainable` goes on
 * training it. Throws LF_ENGINE_ADAPTER_CONFIG or _ADAPTER_TENSORS.
 */
export function loadAdapter(
  model: LanguageModel,
  path: string,
  { trainable = false }: { trainable?: boolean } = {},
): LoraAdapter {
  const { config, files, modules, extras } = read(model, path);
  // Shapes are checked before anything is attached.
  for (const module of modules) checkBranch(model, files, config, path, module);
  const adapter = attach(model, config, modules, { trainable }, (a, b, _, module) => {
    const [nameA, nameB] = branchNames(module, config) as [string, string];
    copyStored(model.device, files, nameA, a);
    copyStored(model.device, files, nameB, b);
  });
  for (const module of config.dora ? modules : []) {
    const { magnitude } = model.linears.get(module)!.adapter!.dora!;
    using stored = Tensor.empty(model.device, magnitude.shape, 'f32');
    copyStored(model.device, files, branchNames(module, config)[2]!, stored);
    magnitude.assign(stored);
  }
  const unknown = extras.filter((name) => !adapter.extras.has(name));
  const missing = [...adapter.extras.keys()].filter((name) => !files.tensors.has(name));
  if (unknown.length > 0 || missing.length > 0) throw modelErrors.ADAPTER_TENSORS({ path, missing, unknown });
  for (const name of extras) {
    const parameter = adapter.extras.get(name)!;
    const { shape, transposed } = parameter;
    using stored = Tensor.empty(model.device, transposed ? shape.toReversed() : shape, 'f32');
    copyStored(model.device, files, name, stored);
    using values = transposed ? transpose(stored) : stored.retain();
    parameter.assign(values);
  }
  return adapter;
}

/** Reads an adapter to be served beside others (`serveAdapters`). The caller disposes its tensors. */
export function readServedAdapter(model: LanguageModel, path: string): ServedAdapter {
  const { config, files, modules, extras } = read(model, path);
  if (extras.length > 0) throw modelErrors.ADAPTER_TENSORS({ path, missing: [], unknown: extras });
  if (config.dora) {
    const problems = [
      'use_dora: rows of one batch cannot use several DoRA adapters; merge it into its base model first',
    ];
    throw modelErrors.ADAPTER_CONFIG({ path, problems });
  }
  return new Map(
    modules.map((module) => {
      const { r, alpha } = checkBranch(model, files, config, path, module);
      const layer = model.linears.get(module)!;
      const a = Tensor.empty(model.device, [r, layer.inFeatures], 'f32', 'persistent');
      const b = Tensor.empty(model.device, [layer.outFeatures, r], 'f32', 'persistent');
      const [nameA, nameB] = branchNames(module, config) as [string, string];
      copyStored(model.device, files, nameA, a);
      copyStored(model.device, files, nameB, b);
      return [module, { a, b, scale: loraScale(alpha, r, config.rslora) }];
    }),
  );
}

/**
 * Writes the attached adapter as PEFT writes it: adapter_config.json and adapter_model.safetensors, and the files of the
 * tokenizer that is given.
 */
export async function saveAdapter(
  model: LanguageModel,
  path: string,
  { dtype = 'f32', baseModel, tokenizer }: SaveAdapterOptions = {},
): Promise<void> {
  const adapter = attachedAdapter(model);
  if (!adapter) throw modelErrors.LORA_OPTION({ option: 'adapter', reason: 'the model has none to save' });
  const config = {
    ...adapter.config,
    baseModel: baseModel ?? adapter.config.baseModel,
    targetModules: savedTargets(model, adapter),
  };
  const named = [...adapterParameters(model.linears), ...adapter.extras].sort(([a], [b]) => (a < b ? -1 : 1));
  const tensors = named.map(([name, parameter]) => parameterToWrite(name, parameter, dtype));
  const taskType = model.kind === 'causal' ? 'CAUSAL_LM' : 'FEATURE_EXTRACTION';
  const transposed = adapter.modules.some((name) => model.linears.get(name)!.weight.transposed);
  if (tokenizer) writeTokenizerFiles(path, tokenizer);
  await writeAdapter(path, adapterConfigJson(config, { taskType, transposed }), tensors);
}

/** The targets as they were given, when they mean just the layers that have a branch; else those layers by name. */
function savedTargets(model: LanguageModel, { config, modules }: LoraAdapter): TargetModules {
  // "all-linear" is for the moment of attaching: a later model may have other layers.
  if (config.targetModules === 'all-linear') return modules;
  try {
    const meant = targetLayers(model.linears, config.targetModules);
    if (meant.join() === modules.join()) return config.targetModules;
  } catch {
    // A pattern in Python's dialect, or a name that matched no layer of this model.
  }
  return modules;
}

function checkBranch(
  model: LanguageModel,
  { tensors }: AdapterSource,
  config: LoraConfig,
  path: string,
  module: string,
): { r: number; alpha: number } {
  const { inFeatures, outFeatures } = model.linears.get(module)!;
  const r = byPattern(module, config.rankPattern, config.r);
  const expected = [[r, inFeatures], [outFeatures, r], [outFeatures]];
  branchNames(module, config).forEach((name, i) => {
    const actual = tensors.get(name)!.shape;
    if (actual.join() !== expected[i]!.join()) {
      const shapes = [`${name} is [${actual.join(', ')}], expected [${expected[i]!.join(', ')}]`];
      throw modelErrors.ADAPTER_TENSORS({ path, shapes });
    }
  });
  return { r, alpha: byPattern(module, config.alphaPattern, config.alpha) };
}

function copyStored(device: Device, { tensors }: AdapterSource, name: string, target: Tensor): void {
  const { file, offset, bytes, shape, dtype } = tensors.get(name)!;
  using stored = Tensor.over(device, device.mapFile(file, offset, bytes), shape, dtype);
  commands.copy(device.recorder, stored, target);
}
