import { checkOutputFolder, defineStepRunner, pathOrName } from '@largeforge/core';
import {
  asCausal,
  type CausalLanguageModel,
  checkModelFiles,
  loadModel,
  openDevice,
  type Parameter,
  readModelSource,
  savePretrained,
  Tensor,
  unscoped,
} from '@largeforge/engine';
import { checkCalibration, gateFiles, StagedModel } from '@largeforge/optimize';
import { mergeErrors } from '../errors.js';
import { finishMerge, mergeWindows, referenceOf } from '../finish-merge.js';
import { type MergeModelOptions, mergeModelOptions } from '../options.js';
import { mergeTensor } from './methods.js';

/** Makes one model of several, tensor by tensor in f32: memory holds the values of one tensor in every model. */
export const mergeModelsRunner = defineStepRunner('optimize', {
  options: mergeModelOptions,
  outputs: ['model', 'logitDifference', 'sameBest', 'report', 'page'],
  inputs: ({ models, baseModel, gate }: MergeModelOptions) => ({
    paths: [...models.map(({ path }) => path), ...(baseModel === undefined ? [] : [baseModel]), ...gateFiles(gate)],
  }),
  async check(context, options: MergeModelOptions) {
    await context.backend();
    const { models, baseModel, outputDir, gate } = options;
    if (outputDir !== undefined && !context.comesLater(outputDir)) checkOutputFolder(context.resolvePath(outputDir));
    checkTogether(options);
    checkCalibration(context, undefined, gate);
    for (const path of [...models.map((model) => model.path), ...(baseModel === undefined ? [] : [baseModel])]) {
      if (!context.comesLater(path)) checkModelFiles(pathOrName(context.resolvePath, path));
    }
  },
  async run(context, options: MergeModelOptions) {
    checkTogether(options);
    const started = performance.now();
    const { signal, resolvePath } = context;
    const paths = options.models.map(({ path }) => pathOrName(resolvePath, path));
    const base = options.baseModel === undefined ? undefined : pathOrName(resolvePath, options.baseModel);
    const folder = options.outputDir === undefined ? context.outputDir : resolvePath(options.outputDir);
    using staged = new StagedModel(folder, ...paths, ...(base === undefined ? [] : [base]));
    const { library, threads, device: index } = await context.backend();
    const device = openDevice({ library, threads, index });
    try {
      const open = async (path: string) => asCausal(await loadModel(device, path, { dtype: 'f32' }));
      const models: CausalLanguageModel[] = [];
      for (const path of paths) models.push(await open(path));
      const baseModel = base === undefined ? undefined : await open(base);
      // The shape, the tokenizer and what else is no weight are those of the base, or of the first model.
      const like = baseModel ?? models[0]!;
      const likePath = base ?? paths[0]!;
      for (const [i, model] of models.entries()) checkSameShape(likePath, like, paths[i]!, model);
      const source = readModelSource(likePath);
      const windows = await mergeWindows(context, options, source, like.config.vocabSize);
      const reference = await referenceOf(like, windows, signal);
      const names = [...like.parameters().keys()];
      const { method, t, normalize, rescale, lambda, seed } = options;
      const settings = { method, t, normalize, rescale, lambda, seed };
      const merge = {
        ...settings,
        weights: options.models.map(({ weight }) => weight),
        densities: options.models.map(({ density = options.density }) => density),
      };
      let done = 0;
      await savePretrained(like, staged.open(), {
        dtype: options.dtype,
        finite: true,
        tokenizer: source.tokenizer,
        generationConfig: source.generationConfig,
        async values(name, parameter) {
          signal.throwIfAborted();
          const [ofBase, ...ofModels] = [
            await valuesOf(baseModel?.parameters().get(name), likePath),
            ...(await inOrder(models, (model, i) => valuesOf(model.parameters().get(name), paths[i]!))),
          ];
          const merged = mergeTensor(ofModels as Float32Array[], ofBase, merge, names.indexOf(name));
          context.events.emit({
            type: 'progress',
            task: context.name,
            current: ++done,
            total: names.length,
            unit: 'tensors',
          });
          return unscoped(() => Tensor.from(device, merged, parameter.shape));
        },
      });
      const weights = [...like.parameters().values()].reduce((sum, { elements }) => sum + elements, 0);
      const bytes = weights * (options.dtype === 'f32' ? 4 : 2);
      return await finishMerge(context, device, staged, reference, {
        started,
        scored: likePath,
        method,
        model: likePath,
        facts: paths.map((path, i) => ['merged', `${path}, weight ${merge.weights[i]}`]),
        settings: { ...settings, densities: merge.densities, dtype: options.dtype },
        layers: [],
        sizes: { weights, bytesBefore: bytes, bytesAfter: bytes },
        gate: options.gate,
      });
    } finally {
      device[Symbol.dispose]();
    }
  },
});

async function inOrder<T, R>(items: readonly T[], each: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const [i, item] of items.entries()) results.push(await each(item, i));
  return results;
}

/** The values of a parameter, f32 on the host. Throws LF_MERGE_NOT_FINITE. */
async function valuesOf(parameter: Parameter | undefined, path: string): Promise<Float32Array | undefined> {
  if (!parameter) return undefined;
  using copy = parameter.toFloat32();
  const values = await copy.floats();
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) throw mergeErrors.LF_MERGE_NOT_FINITE({ path, tensor: parameter.name });
  }
  return values;
}

function checkSameShape(first: string, a: CausalLanguageModel, second: string, b: CausalLanguageModel): void {
  const fail = (reason: string) => mergeErrors.LF_MERGE_MODELS({ first, second, reason });
  if (a.config.modelType !== b.config.modelType) {
    throw fail(`one is of the type ${a.config.modelType}, the other ${b.config.modelType}`);
  }
  const other = b.parameters();
  for (const [name, { shape }] of a.parameters()) {
    const own = other.get(name)?.shape;
    if (!own) throw fail(`it has no ${name}`);
    if (own.join() !== shape.join()) throw fail(`${name} is [${own.join(', ')}], not [${shape.join(', ')}]`);
  }
  const more = [...other.keys()].find((name) => !a.parameters().has(name));
  if (more !== undefined) throw fail(`it has ${more} besides`);
}

function checkTogether({ method, models, baseModel, normalize }: MergeModelOptions): void {
  const wrong = (reason: string) => mergeErrors.LF_MERGE_OPTIONS({ reason });
  if (method !== 'linear' && baseModel === undefined) throw wrong(`${method} needs a baseModel`);
  if (method === 'slerp' && models.length !== 1) {
    throw wrong(`slerp goes from the baseModel to one other model, but there are ${models.length}`);
  }
  if (method === 'linear') {
    if (baseModel !== undefined)
      throw wrong('linear takes no baseModel: name every model that counts among the models');
    const total = models.reduce((sum, { weight }) => sum + weight, 0);
    if (normalize !== false && total === 0) throw wrong('the weights add up to 0, so they cannot be normalised');
  }
}
