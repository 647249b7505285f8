import {
  byteLength,
  type commands,
  type Device,
  type FloatDType,
  KvCache,
  ops,
  Parameter,
  Tensor,
} from '@largeforge/engine';

type Commands = typeof commands;

/** A kernel at a shape of real use, and what it cannot do without. */
export interface KernelWork {
  readonly name: string;
  readonly shape: string;
  /** The precision that its products are formed in, which decides the peak. */
  readonly math: 'f32' | 'bf16' | 'int8';
  /** Multiplications and additions. */
  readonly flops: number;
  /** Bytes that must come from memory or go there, when nothing stays in a cache. */
  readonly bytes: number;
  /** Makes the operands; what it returns records the work once. */
  prepare(device: Device, commands: Commands): () => void;
}

const size = { f32: 4, bf16: 2, f16: 2 } as const;

function filled(device: Device, shape: readonly number[], dtype: FloatDType, commands: Commands): Tensor {
  const tensor = Tensor.empty(device, shape, dtype, 'persistent');
  commands.random(device.recorder, 'uniform', -1, 1, { seedLow: 1, seedHigh: 2, stream: 3 }, tensor);
  return tensor;
}

const starts = (device: Device, rows: number) => Tensor.from(device, Int32Array.of(0, rows), [2], 'i32');

/** y = x W^T. Few rows read the weights once: their bytes decide. Many rows multiply. */
function linear(rows: number, n: number, k: number, dtype: 'f32' | 'bf16'): KernelWork {
  return {
    name: `linear ${dtype}`,
    shape: `${rows} x ${k} -> ${n}`,
    math: dtype,
    flops: 2 * rows * n * k,
    bytes: (rows * k + n * k + rows * n) * size[dtype],
    prepare(device, commands) {
      const x = filled(device, [rows, k], dtype, commands);
      const weight = Parameter.of(filled(device, [n, k], 'f32', commands), 'weight', { dtype });
      return () => ops.linear(x, weight).dispose();
    },
  };
}

/** y = x W^T of a weight in Q4_1's bits, activations rounded to 8 bits: decoding and prompts of a quantised model. */
function packedLinear(rows: number, n: number, k: number): KernelWork {
  return {
    name: 'linear q4_1, int8',
    shape: `${rows} x ${k} -> ${n}`,
    math: 'int8',
    flops: 2 * rows * n * k,
    bytes: byteLength('q4_1', [n, k]) + 2 * rows * (n + k),
    prepare(device, commands) {
      const x = filled(device, [rows, k], 'bf16', commands);
      const blocks = Tensor.empty(device, [n, k], 'q4_1', 'persistent');
      commands.encodeBlocks(device.recorder, { src: filled(device, [n, k], 'f32', commands), dst: blocks });
      const w = Tensor.packed(device, n, k, 'q4_1', 'packedForward');
      commands.pack(device.recorder, { src: blocks, dst: w });
      const y = Tensor.empty(device, [rows, n], 'bf16', 'persistent');
      return () => commands.linear(device.recorder, { math: 'int8' }, { x, w, y });
    },
  };
}

function linearBackward(rows: number, n: number, k: number, of: 'input' | 'weight'): KernelWork {
  return {
    name: `linear gradient of the ${of}`,
    shape: `${rows} x ${k} -> ${n}`,
    math: 'bf16',
    flops: 2 * rows * n * k,
    bytes: 2 * (rows * k + rows * n) + n * k * (of === 'input' ? 2 : 4),
    prepare(device, commands) {
      const [x, dy] = [filled(device, [rows, k], 'bf16', commands), filled(device, [rows, n], 'bf16', commands)];
      if (of === 'weight') {
        const dw = Tensor.zeros(device, [n, k], 'f32', 'persistent');
        return () => commands.linearBackwardWeight(device.recorder, { math: 'bf16' }, { x, dy, dw });
      }
      const weight = Parameter.of(filled(device, [n, k], 'f32', commands), 'weight', { dtype: 'bf16' });
      return () => commands.linearBackwardInput(device.recorder, { math: 'bf16' }, { dy, w: weight.backward(), dx: x });
    },
  };
}

/** Causal attention of one sequence. Half of the scores are masked and cost nothing. */
function attention(rows: number, heads: number, keyHeads: number, headDim: number, backward: boolean): KernelWork {
  const scores = (heads * rows * (rows + 1)) / 2;
  const tokens = rows * headDim * (2 * heads + 2 * keyHeads);
  return {
    name: `attention${backward ? ' gradient' : ''} bf16`,
    shape: `${rows} tokens, ${heads} / ${keyHeads} heads of ${headDim}`,
    math: 'bf16',
    // Two products forward; five backward, the scores among them once more.
    flops: (backward ? 5 : 2) * 2 * scores * headDim,
    bytes: 2 * tokens * (backward ? 2 : 1),
    prepare(device, commands) {
      const draw = (count: number) => filled(device, [rows, count, headDim], 'bf16', commands);
      const [q, k, v, out] = [draw(heads), draw(keyHeads), draw(keyHeads), draw(heads)];
      const lse = Tensor.empty(device, [heads, rows], 'f32', 'persistent');
      const cu = starts(device, rows);
      const params = { scale: headDim ** -0.5, causal: true, window: 0, softcap: 0, maxQ: rows, maxK: rows };
      const forward = () => commands.attention(device.recorder, params, { q, k, v, cuQ: cu, cuK: cu, out, lse });
      if (!backward) return forward;
      forward();
      const [dout, dq, dk, dv] = [draw(heads), draw(heads), draw(keyHeads), draw(keyHeads)];
      const operands = { q, k, v, cuQ: cu, cuK: cu, out, lse, dout, dq, dk, dv };
      return () => commands.attentionBackward(device.recorder, params, operands);
    },
  };
}

/**
 * Attention of one new token of each sequence over its cache, which is read once. As in a model, blocks hold the keys and
 * values of `layers` layers, of which one call reads one, and sequences take blocks from anywhere.
 */
function pagedDecode(
  sequences: number,
  context: number,
  layers: number,
  heads: number,
  keyHeads: number,
  headDim: number,
): KernelWork {
  return {
    name: 'paged attention, decode',
    shape: `${sequences} x ${context} positions, ${heads} / ${keyHeads} heads of ${headDim}`,
    math: 'f32',
    flops: 4 * sequences * context * heads * headDim,
    bytes: 2 * 2 * sequences * context * keyHeads * headDim,
    prepare(device, commands) {
      const blockSize = device.properties.kvBlockSize;
      const maxBlocks = Math.ceil(context / blockSize);
      const cache = new KvCache(
        device,
        { numLayers: layers, numKvHeads: keyHeads, headDim },
        { blocks: sequences * maxBlocks, dtype: 'bf16' },
      );
      commands.random(device.recorder, 'uniform', -1, 1, { seedLow: 1, seedHigh: 2, stream: 3 }, cache.elements);
      const q = filled(device, [sequences, heads, headDim], 'bf16', commands);
      const ints = (length: number, shape: readonly number[], of: (i: number) => number) =>
        Tensor.from(
          device,
          Int32Array.from({ length }, (_, i) => of(i)),
          shape,
          'i32',
        );
      const table = ints(
        sequences * maxBlocks,
        [sequences, maxBlocks],
        (i) => (i % maxBlocks) * sequences + Math.floor(i / maxBlocks),
      );
      const cuQ = ints(sequences + 1, [sequences + 1], (i) => i);
      const lengths = ints(sequences, [sequences], () => context);
      const params = { scale: headDim ** -0.5, maxQ: 1, maxContext: context };
      let layer = 0;
      return () => {
        const operands = { q, ...cache.layer(layer++ % layers), blockTable: table, cuQ, context: lengths, out: q };
        commands.attentionPaged(device.recorder, params, operands);
      };
    },
  };
}

function rmsNorm(rows: number, width: number): KernelWork {
  return {
    name: 'residual + RMSNorm bf16',
    shape: `${rows} x ${width}`,
    math: 'f32',
    flops: 5 * rows * width,
    bytes: 4 * 2 * rows * width,
    prepare(device, commands) {
      const draw = () => filled(device, [rows, width], 'bf16', commands);
      const [x, residual, y, sum] = [draw(), draw(), draw(), draw()];
      const weight = filled(device, [width], 'f32', commands);
      return () => commands.rmsNorm(device.recorder, { eps: 1e-5 }, { x, residual, weight, y, sum });
    },
  };
}

function swiglu(rows: number, width: number): KernelWork {
  return {
    name: 'SwiGLU bf16',
    shape: `${rows} x ${width}`,
    math: 'f32',
    flops: 20 * rows * width,
    bytes: 3 * 2 * rows * width,
    prepare(device, commands) {
      const draw = () => filled(device, [rows, width], 'bf16', commands);
      const [gate, up, out] = [draw(), draw(), draw()];
      return () => commands.glu(device.recorder, 'silu', { gate, up, out });
    },
  };
}

/** Fused head and loss with the gradient of its input: three products over the vocabulary's weights. */
function crossEntropy(rows: number, width: number, vocabulary: number): KernelWork {
  return {
    name: 'cross-entropy with its gradient',
    shape: `${rows} x ${width}, ${vocabulary} tokens`,
    math: 'bf16',
    flops: 2 * 2 * rows * width * vocabulary,
    bytes: 2 * 2 * width * vocabulary,
    prepare(device, commands) {
      const x = filled(device, [rows, width], 'bf16', commands);
      const head = Parameter.of(filled(device, [vocabulary, width], 'f32', commands), 'head', { dtype: 'bf16' });
      const labels = Tensor.from(
        device,
        Int32Array.from({ length: rows }, (_, i) => (i * 7919) % vocabulary),
      );
      const nll = Tensor.empty(device, [rows], 'f32', 'persistent');
      const dx = Tensor.empty(device, [rows, width], 'bf16', 'persistent');
      return () =>
        commands.crossEntropy(
          device.recorder,
          { math: 'bf16' },
          { x, w: head.forward(), labels, nll, dx, wBackward: head.backward() },
        );
    },
  };
}

function adamw(elements: number): KernelWork {
  return {
    name: 'AdamW',
    shape: `${elements} parameters`,
    math: 'f32',
    flops: 12 * elements,
    // Parameter and both moments come and go; the gradient only comes.
    bytes: 7 * 4 * elements,
    prepare(device, commands) {
      const draw = () => filled(device, [elements], 'f32', commands);
      const operands = { param: draw(), grad: draw(), m: draw(), v: Tensor.full(device, [elements], 1, 'f32') };
      const params = {
        learningRate: 1e-6,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weightDecay: 0.01,
        biasCorrection1: 1,
        biasCorrection2: 1,
      };
      return () => commands.adamw(device.recorder, params, operands);
    },
  };
}

/** The shapes of SmolLM2-135M, a 4 x 512 batch, and matrices of a 7 B model where a cache must not help. */
export const KERNELS: readonly KernelWork[] = [
  linear(2048, 1536, 576, 'bf16'),
  linear(2048, 1536, 576, 'f32'),
  linear(512, 4096, 4096, 'bf16'),
  linearBackward(2048, 1536, 576, 'input'),
  linearBackward(2048, 1536, 576, 'weight'),
  linearBackward(2048, 1536, 16, 'weight'),
  linearBackward(2048, 16, 1536, 'weight'),
  linear(1, 11008, 4096, 'bf16'),
  linear(8, 11008, 4096, 'bf16'),
  linear(32, 11008, 4096, 'bf16'),
  packedLinear(1, 11008, 4096),
  packedLinear(8, 11008, 4096),
  packedLinear(32, 1536, 576),
  packedLinear(32, 576, 1536),
  packedLinear(512, 1536, 576),
  packedLinear(512, 4096, 4096),
  attention(2048, 9, 3, 64, false),
  attention(2048, 9, 3, 64, true),
  pagedDecode(1, 65536, 1, 9, 3, 64),
  pagedDecode(32, 96, 30, 9, 3, 64),
  rmsNorm(32768, 576),
  swiglu(32768, 1536),
  crossEntropy(512, 576, 49152),
  adamw(1 << 24),
];
