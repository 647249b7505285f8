import { dequantize, type Linear, Tensor } from '@largeforge/engine';
import {
  type CompensationOptions,
  compensate,
  correctedWeight,
  deviceWeight,
  disposeInput,
  type LayerTask,
  type Preparation,
  prepare,
  quadraticForm,
  rotateValues,
  type SharedInput,
} from '@largeforge/quantize';

export type GptqSettings = Omit<CompensationOptions, 'bits' | 'groupSize' | 'symmetric' | 'scaleDType' | 'damping'> & {
  /** Shares of the mean of a Hessian's diagonal; the one with which some rows lose least is taken. */
  readonly dampings: readonly number[];
  readonly trueSequential: boolean;
  /** Turns the values of heads by a Hadamard matrix first. */
  readonly rotateValues: boolean;
  /** Share of the drift of a layer's inputs that its weights make up for. */
  readonly driftCorrection: number;
};

/** Rows of a weight that dampings are judged by. */
const ROWS = 128;

/** Quantises the linear layers of a layer, those together that read the same inputs. */
export async function gptqLayer(task: LayerTask, settings: GptqSettings): Promise<void> {
  const quantize = async (input: SharedInput) => {
    task.signal.throwIfAborted();
    await quantizeShared(task, input, settings);
  };
  if (settings.rotateValues && task.layer !== undefined) await rotateLayer(task, task.layer);
  if (settings.trueSequential) return task.inParts(quantize);
  const inputs = await task.squares(task.linears);
  try {
    for (const input of inputs) await quantize(input);
  } finally {
    for (const input of inputs) disposeInput(input);
  }
}

/** Only where both layers that it changes are going to be quantised: others keep their weights. */
async function rotateLayer({ model, linears }: LayerTask, layer: number): Promise<void> {
  const { layers, attentionOutput, qkv } = model.config.modules;
  const names = [attentionOutput, qkv.kind === 'separate' ? qkv.names[2] : qkv.name];
  if (names.every((own) => linears.some(({ name }) => name === `${layers}.${layer}.${own}`))) {
    await rotateValues(model, layer);
  }
}

/** Layers of one group size share the factor of a Hessian. */
async function quantizeShared(
  task: LayerTask,
  { linears, square, shift, shiftSquare }: SharedInput,
  settings: GptqSettings,
): Promise<void> {
  const { device, schemeOf, keep } = task;
  const sizes = new Set(linears.map((linear) => schemeOf(linear).groupSize));
  for (const groupSize of sizes) {
    const own = linears.filter((linear) => schemeOf(linear).groupSize === groupSize);
    using ready = await preparation(task, own[0]!, square, settings);
    const options = { ...settings, ...schemeOf(own[0]!), damping: ready.damping };
    using drifted = shiftSquare && (await prepare(device, own[0]!.name, shiftSquare, options));
    for (const linear of own) {
      using weight = await deviceWeight(linear);
      using wanted = shift
        ? correctedWeight(weight, shift, drifted ?? ready, settings.driftCorrection)
        : weight.retain();
      await keep(linear, await compensate(device, wanted, ready, { ...options, ...schemeOf(linear) }));
    }
  }
}

/** The Hessian with the damping that costs the rows of a layer least. */
async function preparation(
  { device, schemeOf, signal }: LayerTask,
  linear: Linear,
  square: Tensor,
  settings: GptqSettings,
): Promise<Preparation> {
  const optionsFor = (damping: number) => ({ ...settings, ...schemeOf(linear), damping });
  const [first, ...others] = settings.dampings;
  let best = await prepare(device, linear.name, square, optionsFor(first!));
  if (others.length === 0) return best;
  using weight = await deviceWeight(linear);
  using rows = weight.narrow(0, 0, Math.min(ROWS, linear.outFeatures));
  let least = await lossOf(rows, square, best, optionsFor(best.damping));
  for (const damping of others) {
    signal.throwIfAborted();
    const candidate = await prepare(device, linear.name, square, optionsFor(damping));
    const loss = await lossOf(rows, square, candidate, optionsFor(candidate.damping));
    const [kept, dropped] = loss < least ? [candidate, best] : [best, candidate];
    dropped[Symbol.dispose]();
    best = kept;
    least = Math.min(least, loss);
  }
  return best;
}

/** tr(E H E^T) with the Hessian as it is. */
async function lossOf(rows: Tensor, square: Tensor, ready: Preparation, options: CompensationOptions): Promise<number> {
  const { weight } = await compensate(rows.device, rows, ready, options);
  const values = await rows.floats();
  const difference = dequantize(weight).map((value, i) => values[i]! - value);
  using tensor = Tensor.from(rows.device, difference, rows.shape);
  return await quadraticForm(tensor, square);
}
