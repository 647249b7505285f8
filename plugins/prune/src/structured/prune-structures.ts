import {
  asCausal,
  type CausalLanguageModel,
  type Linear,
  loadModelFiles,
  type Parameter,
  parameterToWrite,
  selectLayers,
  Tensor,
  type TensorToWrite,
  tensorToWrite,
} from '@largeforge/engine';
import type { LayerReport } from '@largeforge/optimize';
import { CalibrationStream, finiteWeight, linearsOf, outputError } from '@largeforge/quantize';
import { pruneErrors } from '../errors.js';
import type { StructuredOptions } from '../options.js';
import type { Pruned, PruneRun } from '../pruned-model.js';
import { groupSums, inputScores, largest } from './importance.js';
import { blockInfluence, keptLayers } from './layers.js';

export type StructuredSettings = Pick<StructuredOptions, 'heads' | 'channels' | 'layers' | 'multipleOf'>;

/**
 * Takes whole layers, then heads and channels of those that stay, the same number everywhere; config.json says how many are
 * left, so that the smaller model loads as any other.
 * @throws LF_PRUNE_UNSUPPORTED_MODEL, _TOO_MUCH, _ACTIVATIONS
 */
export async function pruneStructures(run: PruneRun, settings: StructuredSettings): Promise<Pruned> {
  const { device, dtype, source, calibration, signal } = run;
  const facts: [string, string][] = [];
  if (settings.heads > 0 || settings.channels > 0) checkFamily(run.model);
  if (settings.layers === 0) return pruneInside(run, run.model, settings, facts);
  const influence = await blockInfluence(run.model, calibration!.windows, signal);
  const stay = keptLayers(influence, settings.layers);
  const gone = influence.flatMap((value, layer) => (stay.includes(layer) ? [] : [`${layer} (${value.toFixed(4)})`]));
  facts.push(['layers', `${influence.length} to ${stay.length}; gone with their influence: ${gone.join(', ')}`]);
  using smaller = asCausal(loadModelFiles(device, selectLayers(source, stay), { dtype }));
  const pruned = await pruneInside(run, smaller, settings, facts);
  return { ...pruned, tensors: await run.keep(pruned.tensors) };
}

/** What stays of a layer. */
interface Kept {
  /** Key-value heads. */
  readonly heads: readonly number[];
  readonly channels: readonly number[];
}

/** Takes heads and channels of every layer of a model. */
async function pruneInside(
  run: PruneRun,
  model: CausalLanguageModel,
  { heads, channels, multipleOf }: StructuredSettings,
  facts: [string, string][],
): Promise<Pruned> {
  const { device, calibration, batchTokens, dtype, signal, keep, onLayer } = run;
  const { config } = model;
  const { quantization_config: _, ...raw } = config.raw;
  if (heads === 0 && channels === 0) {
    const tensors = [...model.parameters()].map(([name, parameter]) => parameterToWrite(name, parameter, dtype));
    return { tensors, config: raw, layers: [], facts };
  }
  const keptHeads = countOf('key-value heads', config.numKvHeads, heads, 1);
  const keptChannels = countOf('channels', config.intermediateSize, channels, multipleOf);
  const perGroup = config.numHeads / config.numKvHeads;
  if (heads > 0) facts.push(['heads', `${config.numHeads} to ${keptHeads * perGroup} in every layer`]);
  if (channels > 0) facts.push(['channels', `${config.intermediateSize} to ${keptChannels} in every layer`]);
  const kept = new Map<string, TensorToWrite>();
  const layers: LayerReport[] = [];
  using stream = new CalibrationStream(model, calibration!.windows, batchTokens);
  for (let layer = 0; layer < config.numLayers; layer++) {
    signal.throwIfAborted();
    onLayer(layer, config.numLayers);
    const linears = linearsOf(model, layer);
    const named = (name: string) => linears.find((linear) => linear.name.endsWith(`.${layer}.${name}`))!;
    const output = named(config.modules.attentionOutput);
    const down = named(config.modules.feedForward.names.at(-1)!);
    const inputs = await stream.squares(layer, [output, down], signal);
    const squareOf = (linear: Linear) => inputs.find(({ linears: own }) => own.includes(linear))!.square;
    const headScores = groupSums(await scoresOf(output, squareOf(output)), perGroup * config.headDim);
    const stays: Kept = {
      heads: largest(headScores, keptHeads),
      channels: largest(await scoresOf(down, squareOf(down)), keptChannels),
    };
    const queries = spread(stays.heads, perGroup * config.headDim);
    const keys = spread(stays.heads, config.headDim);
    const [q, k, v] = (config.modules.qkv as { names: readonly string[] }).names.map(named) as [Linear, Linear, Linear];
    const ups = config.modules.feedForward.names.slice(0, -1).map(named);
    const cuts: [Linear, Cut][] = [
      [q, { rows: queries }],
      [k, { rows: keys }],
      [v, { rows: keys }],
      [output, { columns: queries }],
      ...ups.map((up): [Linear, Cut] => [up, { rows: stays.channels }]),
      [down, { columns: stays.channels }],
    ];
    for (const [linear, cut] of cuts) {
      for (const tensor of await keep(await cutLinear(linear, cut, dtype))) kept.set(tensor.name, tensor);
    }
    for (const [linear, columns] of [
      [output, queries],
      [down, stays.channels],
    ] as const) {
      layers.push(await loseColumns(linear, columns, squareOf(linear)));
    }
    for (const { square } of inputs) square.dispose();
    await stream.advance(layer, signal);
    for (const { weight } of linears) weight.dispose();
  }
  onLayer(config.numLayers, config.numLayers);
  await device.flush();
  const tensors = [...model.parameters()].map(
    ([name, parameter]) => kept.get(name) ?? parameterToWrite(name, parameter, dtype),
  );
  const shape = {
    num_attention_heads: keptHeads * perGroup,
    num_key_value_heads: keptHeads,
    head_dim: config.headDim,
    intermediate_size: keptChannels,
  };
  return { tensors, config: { ...raw, ...shape }, layers, facts };

  async function scoresOf(linear: Linear, square: Tensor): Promise<Float64Array> {
    const hessian = await square.floats();
    const size = linear.inFeatures;
    const squares = Float64Array.from({ length: size }, (__, i) => hessian[i * size + i]!);
    if (!squares.every(Number.isFinite)) throw pruneErrors.LF_PRUNE_ACTIVATIONS({ layer: linear.name });
    return inputScores(await finiteWeight(linear), squares);
  }

  /** The model goes on as if the columns were gone: with zeros in their place. */
  async function loseColumns(linear: Linear, columns: readonly number[], square: Tensor): Promise<LayerReport> {
    const { name, inFeatures, outFeatures, weight } = linear;
    const before = await finiteWeight(linear);
    const stay = new Set(columns);
    const lost = before.map((value, at) => (stay.has(at % inFeatures) ? 0 : value));
    using after = Tensor.from(
      device,
      before.map((value, at) => value - lost[at]!),
      weight.shape,
    );
    weight.assign(after);
    const whole = await outputError(device, before, square);
    const relativeError = whole === 0 ? 0 : (await outputError(device, lost, square)) / whole;
    return { name, shape: [outFeatures, columns.length], relativeError };
  }
}

interface Cut {
  readonly rows?: readonly number[];
  readonly columns?: readonly number[];
}

/** The tensors of a layer with some of its outputs (and of their biases), or some of its inputs. */
async function cutLinear(linear: Linear, { rows, columns }: Cut, dtype: 'f32' | 'bf16'): Promise<TensorToWrite[]> {
  const { name, bias, inFeatures, outFeatures, weight } = linear;
  const values = await finiteWeight(linear);
  const ofRows = rows ?? Array.from({ length: outFeatures }, (_, i) => i);
  const ofColumns = columns ?? Array.from({ length: inFeatures }, (_, i) => i);
  const cut = new Float32Array(ofRows.length * ofColumns.length);
  let at = 0;
  for (const row of ofRows) for (const column of ofColumns) cut[at++] = values[row * inFeatures + column]!;
  const shape = [ofRows.length, ofColumns.length];
  const tensors = [tensorToWrite(`${name}.weight`, shape, dtype, () => Tensor.from(weight.device, cut, shape))];
  if (bias && rows) tensors.push(await cutBias(`${name}.bias`, bias, rows, dtype));
  return tensors;
}

async function cutBias(
  name: string,
  bias: Parameter,
  rows: readonly number[],
  dtype: 'f32' | 'bf16',
): Promise<TensorToWrite> {
  using copy = bias.toFloat32();
  const values = await copy.floats();
  const cut = Float32Array.from(rows, (row) => values[row]!);
  return tensorToWrite(name, [rows.length], dtype, () => Tensor.from(bias.device, cut, [rows.length]));
}

/** Indices of `size` values for each of some places. */
function spread(places: readonly number[], size: number): number[] {
  return places.flatMap((place) => Array.from({ length: size }, (_, i) => place * size + i));
}

/** How many stay when a share goes: a multiple of `of`, rounded up. */
function countOf(what: string, total: number, share: number, of: number): number {
  if (share === 0) return total;
  const count = Math.ceil((total - Math.floor(total * share)) / of) * of;
  if (count >= total || count === 0) throw pruneErrors.LF_PRUNE_TOO_MUCH({ what, total, sparsity: share });
  return count;
}

/** Throws LF_PRUNE_UNSUPPORTED_MODEL for families whose matrices are fused, or whose config cannot say what is left. */
function checkFamily({ config }: CausalLanguageModel): void {
  const fail = (what: string) => pruneErrors.LF_PRUNE_UNSUPPORTED_MODEL({ what });
  const { modelType, modules, experts } = config;
  if (experts) throw fail(`${modelType} has layers with experts`);
  if (modules.transposed || modules.qkv.kind !== 'separate') throw fail(`${modelType} has fused projections`);
  if (modules.feedForward.kind === 'stacked') throw fail(`${modelType} has fused projections`);
}
