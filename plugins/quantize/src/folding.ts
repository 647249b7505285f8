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
    const source = linear(qkv.kind === 'separate' ? qkv.names[2] : qkv.name);
    const rowOf = (channel: number) => {
      if (qkv.kind === 'separate') return channel;
      if (qkv.kind === 'stacked') return (numHeads + numKvHeads) * headDim + channel;
      return Math.floor(channel / headDim) * 3 * headDim + 2 * headDim + (channel % headDim);
    };
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
