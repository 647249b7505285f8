import type { Features } from '../encoders/features.js';

/** One example: its features, and the index of its class. */
export interface Example {
  readonly features: Features;
  readonly label: number;
}

export interface TrainingSettings {
  readonly epochs: number;
  readonly learningRate: number;
  /** Dense vectors are multiplied by it: unit vectors of hundreds of parts move logits too slowly. */
  readonly denseScale: number;
  readonly seed: number;
  /** Told after every epoch: its number from 1, and the mean loss in nats. */
  readonly onEpoch?: (epoch: number, loss: number) => void;
  readonly signal?: AbortSignal;
}

export const defaultTraining = { epochs: 5, learningRate: 0.1, denseScale: 4, seed: 1 } as const;

/** Numbers in [0, 1) that a seed determines (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The weights of a classifier: rows of `classes` numbers. */
export interface LinearWeights {
  readonly classes: number;
  /** [dense size, classes] */
  readonly dense: Float32Array;
  /** [rows of buckets, classes] */
  readonly sparse: Float32Array;
  /** [classes] */
  readonly bias: Float32Array;
}

/** Multinomial logistic regression over dense and hashed features together. */
export class LinearClassifier {
  constructor(
    readonly weights: LinearWeights,
    readonly denseScale: number = defaultTraining.denseScale,
  ) {}

  /** Unnormalised log-probabilities, [classes]. `features.buckets` are rows of the sparse weights. */
  logits({ dense, buckets, weights: values }: Features, out = new Float32Array(this.weights.classes)): Float32Array {
    const { classes, dense: denseRows, sparse, bias } = this.weights;
    out.set(bias);
    for (let i = 0; i < buckets.length; i++) addRow(out, sparse, buckets[i]! * classes, values[i]!);
    for (let i = 0; i < dense.length; i++) addRow(out, denseRows, i * classes, dense[i]! * this.denseScale);
    return out;
  }

  /**
   * Fits weights by stochastic gradient descent with a step size for every weight (AdaGrad, Duchi et al. 2011) that falls
   * linearly to zero. One seed gives one result.
   * @param sizes number of classes, of dense parts, and of bucket rows
   */
  static train(
    examples: readonly Example[],
    sizes: { readonly classes: number; readonly dense: number; readonly rows: number },
    settings: TrainingSettings = defaultTraining,
  ): LinearClassifier {
    const { classes } = sizes;
    const { epochs, learningRate, denseScale } = settings;
    const weights: LinearWeights = {
      classes,
      dense: new Float32Array(sizes.dense * classes),
      sparse: new Float32Array(sizes.rows * classes),
      bias: new Float32Array(classes),
    };
    const squares = [weights.dense, weights.sparse, weights.bias].map((w) => new Float32Array(w.length).fill(1e-6));
    const [denseSquares, sparseSquares, biasSquares] = squares as [Float32Array, Float32Array, Float32Array];
    const classifier = new LinearClassifier(weights, denseScale);
    const random = seededRandom(settings.seed);
    const order = examples.map((_, i) => i);
    const gradient = new Float32Array(classes);
    for (let epoch = 0; epoch < epochs; epoch++) {
      settings.signal?.throwIfAborted();
      shuffle(order, random);
      const step = learningRate * (1 - epoch / epochs);
      let loss = 0;
      for (const index of order) {
        const { features, label } = examples[index]!;
        softmax(classifier.logits(features, gradient));
        loss -= Math.log(Math.max(gradient[label]!, 1e-12));
        gradient[label]! -= 1;
        adaGrad(weights.bias, biasSquares, 0, gradient, 1, step);
        const { dense, buckets, weights: values } = features;
        for (let i = 0; i < buckets.length; i++) {
          adaGrad(weights.sparse, sparseSquares, buckets[i]! * classes, gradient, values[i]!, step);
        }
        for (let i = 0; i < dense.length; i++) {
          adaGrad(weights.dense, denseSquares, i * classes, gradient, dense[i]! * denseScale, step);
        }
      }
      settings.onEpoch?.(epoch + 1, loss / examples.length);
    }
    return classifier;
  }
}

/** Turns logits into probabilities in place; a temperature above 1 makes them less sure. */
export function softmax(logits: Float32Array, temperature = 1): Float32Array {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) if (logits[i]! > largest) largest = logits[i]!;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) {
    const value = Math.exp((logits[i]! - largest) / temperature);
    logits[i] = value;
    sum += value;
  }
  for (let i = 0; i < logits.length; i++) logits[i]! /= sum;
  return logits;
}

function addRow(out: Float32Array, rows: Float32Array, offset: number, scale: number): void {
  for (let c = 0; c < out.length; c++) out[c]! += scale * rows[offset + c]!;
}

function adaGrad(
  weights: Float32Array,
  squares: Float32Array,
  offset: number,
  gradient: Float32Array,
  input: number,
  step: number,
): void {
  for (let c = 0; c < gradient.length; c++) {
    const g = gradient[c]! * input;
    const square = squares[offset + c]! + g * g;
    squares[offset + c] = square;
    weights[offset + c]! -= (step * g) / Math.sqrt(square);
  }
}

function shuffle(order: number[], random: () => number): void {
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
}
