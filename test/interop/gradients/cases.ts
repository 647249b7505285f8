import { ops, type Tensor, type Unary } from '@largeforge/engine';
import type { Draw } from './draw.js';

/** An operation on drawn values; `peer` names the function of python/gradients.py that does the same in PyTorch. */
export interface GradientCase {
  readonly name: string;
  readonly peer: string;
  /** What both sides are told. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** Does the operation; every tensor and parameter drawn in it must get PyTorch's gradient. */
  run(draw: Draw): Tensor | Tensor[];
}

const KEY = { seedLow: 3, seedHigh: 1, stream: 9 };
const activations: (keyof typeof Unary)[] = ['silu', 'gelu', 'gelu_tanh', 'relu', 'tanh', 'sigmoid'];

const elementwise: GradientCase[] = [
  {
    name: 'add',
    peer: 'add',
    options: { alpha: 0.5, beta: -2 },
    run: (draw) => ops.add(draw.tensor('a', 5, 7), draw.tensor('b', 5, 7), { alpha: 0.5, beta: -2 }),
  },
  ...activations.map(
    (kind): GradientCase => ({
      name: kind,
      peer: 'activation',
      options: { kind },
      run: (draw) => ops.unary(kind, draw.tensor('x', 6, 33)),
    }),
  ),
  ...(['silu', 'gelu_tanh', 'gelu'] as const).map(
    (kind): GradientCase => ({
      name: `glu ${kind}`,
      peer: 'glu',
      options: { kind },
      run: (draw) => ops.glu(kind, draw.tensor('gate', 5, 37), draw.tensor('up', 5, 37)),
    }),
  ),
  {
    name: 'softcap',
    peer: 'softcap',
    options: { cap: 0.7 },
    run: (draw) => ops.softcap(draw.tensor('x', 5, 19), 0.7),
  },
  {
    name: 'dropout',
    peer: 'dropout',
    run: (draw) => {
      const x = draw.tensor('x', 9, 31);
      draw.constant('mask', ops.dropout(draw.ones(9, 31), 0.3, KEY));
      return ops.dropout(x, 0.3, KEY);
    },
  },
  {
    name: 'narrow, whose parts overlap',
    peer: 'narrow',
    run: (draw) => {
      const x = draw.tensor('x', 7, 12);
      return [ops.narrow(x, 0, 1, 4), ops.narrow(x, 0, 3, 3), ops.narrow(x, 1, 5, 7)];
    },
  },
];

const linears: GradientCase[] = [
  {
    name: 'linear with a bias',
    peer: 'linear',
    run: (draw) => {
      const [x, weight] = [draw.tensor('x', 37, 45), draw.parameter('weight', 29, 45)];
      return ops.linear(x, weight, { bias: draw.parameter('bias', 29) });
    },
  },
  {
    name: 'linear with an activation',
    peer: 'linear',
    options: { activation: 'gelu_tanh' },
    run: (draw) => {
      const [x, weight] = [draw.tensor('x', 5, 45), draw.parameter('weight', 29, 45)];
      return ops.linear(x, weight, { activation: 'gelu_tanh' });
    },
  },
  {
    name: 'linear with a low-rank branch',
    peer: 'linear',
    options: { scale: 1.5 },
    run: (draw) => {
      const [x, weight] = [draw.tensor('x', 37, 45), draw.parameter('weight', 29, 45)];
      const [a, b] = [draw.parameter('a', 4, 45), draw.parameter('b', 29, 4)];
      return ops.linear(x, weight, { lora: { a, b, scale: 1.5 } });
    },
  },
  {
    name: 'linear with a low-rank branch behind dropout, the base frozen',
    peer: 'linear',
    options: { scale: 0.5 },
    run: (draw) => {
      const [x, weight] = [draw.tensor('x', 37, 45), draw.frozen('weight', 29, 45)];
      const [a, b] = [draw.parameter('a', 8, 45), draw.parameter('b', 29, 8)];
      draw.constant('mask', ops.dropout(draw.ones(37, 45), 0.25, KEY));
      return ops.linear(x, weight, { lora: { a, b, scale: 0.5, dropout: { probability: 0.25, key: KEY } } });
    },
  },
];

const norms: GradientCase[] = (['rms', 'layer'] as const).flatMap((kind) =>
  [false, true].map((added): GradientCase => {
    const weightOffset = kind === 'rms' && added ? 1 : 0;
    return {
      name: `${kind} norm${added ? ' of a sum' : ''}`,
      peer: 'norm',
      options: { kind, eps: 1e-4, weightOffset },
      run: (draw) => {
        const x = draw.tensor('x', 9, 50);
        const weight = draw.parameter('weight', 50);
        const residual = added ? draw.tensor('residual', 9, 50) : undefined;
        const { y, sum } =
          kind === 'rms'
            ? ops.rmsNorm(x, weight, { eps: 1e-4, residual, weightOffset })
            : ops.layerNorm(x, weight, draw.parameter('bias', 50), { eps: 1e-4, residual });
        return added ? [y, sum] : y;
      },
    };
  }),
);

const SEQUENCES = [0, 21, 22, 40];
const attentionCase = (
  name: string,
  options: { causal: boolean; window?: number; softcap?: number },
): GradientCase => ({
  name,
  peer: 'attention',
  options: { ...options, sequences: SEQUENCES },
  run: (draw) => {
    const [q, k, v] = [draw.tensor('q', 40, 6, 16), draw.tensor('k', 40, 2, 16), draw.tensor('v', 40, 2, 16)];
    return ops.attention(q, k, v, { ...options, cuSeqlens: draw.ints(SEQUENCES), maxSeqlen: 21 });
  },
});

const POSITIONS = [0, 1, 2, 3, 4, 0, 1, 2, 7];
const FREQUENCIES = [1, 0.4, 0.1, 0.03];
const ropes = [false, true].map(
  (interleaved): GradientCase => ({
    name: `rope ${interleaved ? 'of neighbours' : 'of halves'}`,
    peer: 'rope',
    options: { interleaved, scale: 1.2, positions: POSITIONS, frequencies: FREQUENCIES },
    run: (draw) => {
      // It works in place: what is drawn stays as it was in a copy.
      const x = draw.tensor('x', 9, 3, 10);
      const frequencies = draw.floats(FREQUENCIES);
      return ops.rope(ops.cast(x, x.dtype), draw.ints(POSITIONS), frequencies, { interleaved, scale: 1.2 });
    },
  }),
);

const IDS = [3, 0, 3, 10, 7, 3];
const lookups: GradientCase[] = [
  {
    name: 'embedding by two tables',
    peer: 'embedding',
    options: { ids: IDS, types: [0, 1, 1, 0, 1, 0], scale: 1.3 },
    run: (draw) => {
      const first = { ids: draw.ints(IDS), table: draw.parameter('table', 11, 20) };
      const second = { ids: draw.ints([0, 1, 1, 0, 1, 0]), table: draw.parameter('types', 2, 20) };
      return ops.embedding([first, second], { scale: 1.3, dtype: draw.dtype });
    },
  },
  {
    name: 'gathered rows',
    peer: 'gather',
    options: { ids: IDS },
    run: (draw) => ops.gatherRows(draw.tensor('x', 11, 20), draw.ints(IDS)),
  },
  {
    name: 'mean over sequences',
    peer: 'meanPool',
    options: { sequences: SEQUENCES },
    run: (draw) => ops.meanPool(draw.tensor('x', 40, 17), draw.ints(SEQUENCES), { lengths: [21, 1, 18] }),
  },
];

const LABELS = [3, -100, 70, 0, 3, 41, -100, 12, 9];
const losses: GradientCase[] = [
  {
    name: 'cross-entropy',
    peer: 'crossEntropy',
    options: { labels: LABELS },
    run: (draw) => {
      const [x, head] = [draw.tensor('x', 9, 24), draw.parameter('head', 71, 24)];
      return ops.crossEntropy(x, head, draw.ints(LABELS)).nll;
    },
  },
  {
    name: 'cross-entropy with smoothed labels, capped and scaled logits and a bias',
    peer: 'crossEntropy',
    options: { labels: LABELS, labelSmoothing: 0.1, softcap: 3, logitScale: 0.8 },
    run: (draw) => {
      const [x, head] = [draw.tensor('x', 9, 24), draw.parameter('head', 71, 24)];
      const options = { labelSmoothing: 0.1, softcap: 3, logitScale: 0.8, bias: draw.parameter('bias', 71) };
      return ops.crossEntropy(x, head, draw.ints(LABELS), options).nll;
    },
  },
  {
    name: 'cross-entropy with a frozen head',
    peer: 'crossEntropy',
    options: { labels: LABELS },
    run: (draw) => ops.crossEntropy(draw.tensor('x', 9, 24), draw.frozen('head', 71, 24), draw.ints(LABELS)).nll,
  },
];

const experts = [false, true].map(
  (normalize): GradientCase => ({
    name: `mixture of experts${normalize ? ', weights normalised' : ''}`,
    peer: 'experts',
    options: { topK: 2, normalize },
    run: (draw) => {
      const x = draw.tensor('x', 23, 12);
      const [wide, narrow] = [draw.parameter('wide', 5, 14, 12), draw.parameter('narrow', 5, 12, 14)];
      const logits = draw.f32('logits', 23, 5);
      const { rows, offsets, weights } = ops.route(logits, { topK: 2, normalize });
      const inner = ops.unary('silu', ops.groupedLinear(ops.gatherRows(x, rows), wide, offsets));
      return ops.sumRows(ops.scaleRows(ops.groupedLinear(inner, narrow, offsets), weights), rows, 23);
    },
  }),
);

export const CASES: readonly GradientCase[] = [
  ...elementwise,
  ...linears,
  ...norms,
  attentionCase('attention, causal', { causal: true }),
  attentionCase('attention in both directions', { causal: false }),
  attentionCase('attention in a window with capped scores', { causal: true, window: 5, softcap: 2 }),
  ...ropes,
  ...lookups,
  ...losses,
  ...experts,
];
