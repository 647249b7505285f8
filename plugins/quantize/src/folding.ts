import {
  type CausalLanguageModel,
  commands,
  type Linear,
  type Parameter,
  rounded,
  type ScaleDType,
  scope,
  Tensor,
} from '@largeforge/engine';

/**
 * A place in a layer where channels can be scaled without a change of what the model computes: what makes them is divided
 * by the scales, and the layers that read them are multiplied.
 */
export interface Folding {
  /** What makes the channels: a norm, or rows of another linear layer. */
  readonly maker: 'norm' | 'rows';
  readonly consumers: readonly Linear[];
  readonly channels: number;
  /** [K] the channel of each input of the consumers: several where heads share values. */
  readonly channelOf: Int32Array;
  /** Divides what makes the channels, rounded as it will be stored. Returns the scales that this rounding leaves, [channels]. */
  divide(scales: Float32Array): Promise<Float32Array>;
}

/**
 * Where the inputs of a group of linear layers can be scaled: at the norm before them, at the values before the output of
 * attention, at the up projection before the down projection. Undefined where something in between is not linear, or where
 * others read the same inputs.
 */
export function foldingOf(
  model: CausalLanguageModel,
  layer: number,
  consumers: readonly Linear[],
): Folding | undefined {
  const { config } = model;
  const { modules, hiddenSize, headDim, numHeads, numKvHeads, intermediateSize } = config;
  const prefix = `${modules.layers}.${layer}.`;
  const names = consumers.map(({ name }) => name.slice(prefix.length));
  const linear = (name: string) => model.linears.get(prefix + name)!;
  const { qkv, feedForward } = modules;
  const inputs = qkv.kind === 'separate' ? qkv.names : [qkv.name];
  const all = (readers: readonly string[]) => readers.every((name) => names.includes(name));
  if (names.some((name) => inputs.includes(name))) {
    return all(inputs) ? atNorm(model, prefix + modules.attentionNorm, consumers) : undefined;
  }
  if (names.includes(modules.attentionOutput)) {
    const channels = numKvHeads * headDim;
    const shared = numHeads / numKvHeads;
    const channelOf = Int32Array.from({ length: numHeads * headDim }, (_, column) => {
      const head = Math.floor(column / headDim);
      return Math.floor(head / shared) * headDim + (column % headDim);
    });
    const { source, rowOf } = valuesOf(model, prefix);
    return atRows(source, rowOf, { consumers, channels, channelOf }, model.dtype as ScaleDType);
  }
  const last = feedForward.names.at(-1)!;
  if (!names.includes(last)) {
    return all(feedForward.names.slice(0, -1)) ? atNorm(model, prefix + modules.feedForwardNorm, consumers) : undefined;
  }
  // An activation lies between up and down of a plain feed-forward.
  if (feedForward.kind === 'plain') return undefined;
  const channels = intermediateSize;
  const place = { consumers, channels, channelOf: identity(channels) };
  if (feedForward.kind === 'gated')
    return atRows(linear(feedForward.names[1]), (c) => c, place, model.dtype as ScaleDType);
  return atRows(linear(feedForward.names[0]), (c) => hiddenRows(c, intermediateSize), place, model.dtype as ScaleDType);

  function hiddenRows(channel: number, gateRows: number): number {
    return gateRows + channel;
  }

  function atNorm(owner: CausalLanguageModel, name: string, readers: readonly Linear[]): Folding {
    const parameters = owner.parameters();
    const weight = parameters.get(`${name}.weight`)!;
    const bias = parameters.get(`${name}.bias`);
    const dtype = owner.dtype as ScaleDType;
    const { offset } = owner.config.norm;
    return {
      maker: 'norm',
      consumers: readers,
      channels: hiddenSize,
      channelOf: identity(hiddenSize),
      async divide(scales) {
        const values = await hostValues(weight);
        const left = new Float32Array(hiddenSize).fill(1);
        const divided = values.map((value, c) => {
          const whole = value + offset;
          const stored = rounded(whole / scales[c]! - offset, dtype);
          // A channel that is nothing, or that rounding would make nothing, stays.
          if (whole === 0 || stored + offset === 0) return value;
          left[c] = whole / (stored + offset);
          return stored;
        });
        assignHost(weight, divided);
        if (bias)
          assignHost(
            bias,
            (await hostValues(bias)).map((value, c) => value / left[c]!),
          );
        return left;
      },
    };
  }
}

/** The linear layer that makes values of heads, and its row of each of their channels. */
function valuesOf({ config, linears }: CausalLanguageModel, prefix: string) {
  const { modules, headDim, numHeads, numKvHeads } = config;
  const { qkv } = modules;
  const source = linears.get(prefix + (qkv.kind === 'separate' ? qkv.names[2] : qkv.name))!;
  const rowOf = (channel: number) => {
    if (qkv.kind === 'separate') return channel;
    if (qkv.kind === 'stacked') return (numHeads + numKvHeads) * headDim + channel;
    return Math.floor(channel / headDim) * 3 * headDim + 2 * headDim + (channel % headDim);
  };
  return { source, rowOf };
}

/**
 * Turns the values of every head of a layer by a Hadamard matrix, and the inputs of the output of attention back: attention
 * mixes values linearly, so what the layer computes stays as it was, while values that stand out are spread over their head
 * (QuaRot, Ashkboos et al. 2024, section 4, in which this is done to weights once). Returns false, and changes nothing, where
 * heads have another width than a power of two.
 */
export async function rotateValues(model: CausalLanguageModel, layer: number): Promise<boolean> {
  const { modules, headDim, numHeads, numKvHeads } = model.config;
  if (headDim < 2 || (headDim & (headDim - 1)) !== 0) return false;
  const prefix = `${modules.layers}.${layer}.`;
  const { source, rowOf } = valuesOf(model, prefix);
  const output = model.linears.get(prefix + modules.attentionOutput)!;
  const turned = new Float32Array(headDim);
  const turn = (values: Float32Array, placeOf: (i: number) => number) => {
    for (let i = 0; i < headDim; i++) turned[i] = values[placeOf(i)]!;
    hadamard(turned);
    for (let i = 0; i < headDim; i++) values[placeOf(i)] = turned[i]!;
  };
  const rows = await hostValues(source.weight);
  const bias = source.bias && (await hostValues(source.bias));
  const k = source.inFeatures;
  for (let head = 0; head < numKvHeads; head++) {
    for (let column = 0; column < k; column++) turn(rows, (i) => rowOf(head * headDim + i) * k + column);
    if (bias) turn(bias, (i) => rowOf(head * headDim + i));
  }
  const columns = await hostValues(output.weight);
  for (let at = 0; at < output.outFeatures * numHeads; at++) turn(columns, (i) => at * headDim + i);
  assignHost(source.weight, rows);
  if (source.bias && bias) assignHost(source.bias, bias);
  assignHost(output.weight, columns);
  return true;
}

/** Multiplies by the Hadamard matrix of Sylvester over the root of its size; the size is a power of two. */
function hadamard(values: Float32Array): void {
  const { length } = values;
  for (let half = 1; half < length; half *= 2) {
    for (let i = 0; i < length; i += 2 * half) {
      for (let j = i; j < i + half; j++) {
        const [a, b] = [values[j]!, values[j + half]!];
        values[j] = a + b;
        values[j + half] = a - b;
      }
    }
  }
  const scale = 1 / Math.sqrt(length);
  for (let i = 0; i < length; i++) values[i]! *= scale;
}

/** Channels that are rows of a linear layer; these have no rounding of their own, as they are quantised afterwards. */
function atRows(
  source: Linear,
  rowOf: (channel: number) => number,
  place: Pick<Folding, 'consumers' | 'channels' | 'channelOf'>,
  dtype: ScaleDType,
): Folding {
  return {
    maker: 'rows',
    ...place,
    async divide(scales) {
      const values = await hostValues(source.weight);
      const bias = source.bias && (await hostValues(source.bias));
      const k = source.inFeatures;
      // Powers of two would be exact; the model's own precision keeps a weight's relative rounding error as it was.
      for (let channel = 0; channel < place.channels; channel++) {
        const row = rowOf(channel);
        for (let i = 0; i < k; i++) values[row * k + i]! /= scales[channel]!;
        if (bias) bias[row] = rounded(bias[row]! / scales[channel]!, dtype);
      }
      assignHost(source.weight, values);
      if (source.bias && bias) assignHost(source.bias, bias);
      return scales;
    },
  };
}

/** [K] of [channels]. */
export function spread(scales: Float32Array, channelOf: Int32Array): Float32Array {
  return Float32Array.from(channelOf, (channel) => scales[channel]!);
}

/** Multiplies the columns of a matrix [N, K] by [K] numbers. */
export function scaleColumns(matrix: Tensor, columns: Float32Array): void {
  const { device } = matrix;
  scope(() => {
    const factors = Tensor.from(device, columns).view(matrix.shape, [0, 1]);
    commands.binary(device.recorder, 'mul', matrix, factors, matrix);
  });
}

function identity(length: number): Int32Array {
  return Int32Array.from({ length }, (_, i) => i);
}

async function hostValues(parameter: Parameter): Promise<Float32Array> {
  using copy = parameter.toFloat32();
  return (await copy.floats()).slice();
}

function assignHost(parameter: Parameter, values: Float32Array): void {
  using tensor = Tensor.from(parameter.device, values, parameter.shape);
  parameter.assign(tensor);
}
