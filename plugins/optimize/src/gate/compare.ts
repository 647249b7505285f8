import { type CausalLanguageModel, packSequences, scope, Tensor } from '@largeforge/engine';

/** What a model makes of windows, on the host. */
export interface Observation {
  /** Final hidden states of each window. */
  readonly hidden: readonly Float32Array[];
  /** The residual stream of the first window after each layer. */
  readonly streams: readonly Float32Array[];
}

/** How a changed model predicts, beside the original on the same windows. */
export interface Comparison {
  readonly windows: number;
  readonly positions: number;
  readonly basePerplexity: number;
  readonly perplexity: number;
  /** `perplexity` over `basePerplexity`. */
  readonly perplexityRatio: number;
  /** 95 % interval of the ratio, from the spread over windows; no wider than one window tells. */
  readonly perplexityRatio95: readonly [low: number, high: number];
  /** Mean over positions of KL(original || changed), nats. */
  readonly kl: number;
  /** Share of positions whose most likely token is the same. */
  readonly top1: number;
  /** Largest difference of a logit, as a share of the largest logit. */
  readonly logitDifference: number;
  /**
   * Relative L2 error of the residual stream after each layer, on the first window: where a model goes astray. Empty when
   * the models differ in their layers.
   */
  readonly drift: readonly number[];
}

/** Rows whose logits are on the host at a time. */
const ROWS = 128;

/**
 * Runs a model on windows layer by layer, and gives up each layer's weights when it is done, and at the end those of the embeddings
 * and the head: memory holds one layer, and what the windows are on their way.
 */
export async function observe(
  model: CausalLanguageModel,
  windows: readonly Int32Array[],
  signal: AbortSignal,
): Promise<Observation> {
  const batches = windows.map((window) => packSequences([window]));
  const residuals = batches.map((batch) => model.embedded(batch));
  const streams: Float32Array[] = [];
  const hidden: Float32Array[] = [];
  try {
    for (let layer = 0; layer < model.config.numLayers; layer++) {
      for (const [i, batch] of batches.entries()) {
        signal.throwIfAborted();
        const next = model.runLayer(layer, residuals[i]!, batch);
        residuals[i]!.dispose();
        residuals[i] = next;
        if (i === 0) streams.push(await next.floats());
        else await model.device.flush();
      }
      releaseLayer(model, layer);
    }
    for (const residual of residuals) {
      using states = model.normalized(residual);
      hidden.push(await states.floats());
    }
  } finally {
    for (const residual of residuals) residual.dispose();
  }
  for (const parameter of model.parameters().values()) parameter.release();
  return { hidden, streams };
}

function releaseLayer(model: CausalLanguageModel, layer: number): void {
  const prefix = `${model.config.modules.layers}.${layer}.`;
  for (const [name, parameter] of model.parameters()) if (name.startsWith(prefix)) parameter.release();
}

/**
 * Compares the predictions of a model with what the original made of the same windows. Perplexity counts every token of a
 * window but the first.
 * @param head the original, of which only the head is used; `model` itself where the heads are the same
 */
export async function compare(
  model: CausalLanguageModel,
  windows: readonly Int32Array[],
  original: Observation,
  signal: AbortSignal,
  head: CausalLanguageModel = model,
): Promise<Comparison> {
  const changed = await observe(model, windows, signal);
  const sums: Sums = { positions: 0, base: 0, own: 0, kl: 0, same: 0, largest: 0, difference: 0 };
  const logRatios: number[] = [];
  for (const [index, window] of windows.entries()) {
    const before = { ...sums };
    for (let start = 0; start < window.length - 1; start += ROWS) {
      signal.throwIfAborted();
      const count = Math.min(ROWS, window.length - 1 - start);
      const base = await logitsOf(head, original.hidden[index]!, start, count);
      const own = await logitsOf(model, changed.hidden[index]!, start, count);
      const vocabulary = base.length / count;
      for (let row = 0; row < count; row++) {
        const span = (logits: Float32Array) => logits.subarray(row * vocabulary, (row + 1) * vocabulary);
        addRow(sums, span(base), span(own), window[start + row + 1]!);
      }
    }
    logRatios.push((sums.own - sums.base - before.own + before.base) / (sums.positions - before.positions));
  }
  const { positions } = sums;
  const [basePerplexity, perplexity] = [Math.exp(sums.base / positions), Math.exp(sums.own / positions)];
  return {
    windows: windows.length,
    positions,
    basePerplexity,
    perplexity,
    perplexityRatio: perplexity / basePerplexity,
    perplexityRatio95: interval(logRatios),
    kl: sums.kl / positions,
    top1: sums.same / positions,
    logitDifference: sums.largest === 0 ? 0 : sums.difference / sums.largest,
    drift: driftOf(original.streams, changed.streams),
  };
}

/** The interval of a ratio from its logarithm in each window, which have the same length. */
function interval(logRatios: readonly number[]): [low: number, high: number] {
  const n = logRatios.length;
  const mean = logRatios.reduce((a, b) => a + b, 0) / n;
  const variance = n < 2 ? 0 : logRatios.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
  const half = 1.96 * Math.sqrt(variance / n);
  return [Math.exp(mean - half), Math.exp(mean + half)];
}

function driftOf(original: readonly Float32Array[], changed: readonly Float32Array[]): number[] {
  if (original.length !== changed.length) return [];
  return original.map((before, layer) => {
    const after = changed[layer]!;
    let [error, size] = [0, 0];
    for (let i = 0; i < before.length; i++) {
      error += (before[i]! - after[i]!) ** 2;
      size += before[i]! ** 2;
    }
    return size === 0 ? 0 : Math.sqrt(error / size);
  });
}

interface Sums {
  positions: number;
  base: number;
  own: number;
  kl: number;
  same: number;
  largest: number;
  difference: number;
}

async function logitsOf(
  model: CausalLanguageModel,
  states: Float32Array,
  start: number,
  count: number,
): Promise<Float32Array> {
  const size = model.config.hiddenSize;
  using logits = scope(() => {
    const rows = states.subarray(start * size, (start + count) * size);
    return model.logits(Tensor.from(model.device, rows, [count, size], model.dtype));
  });
  return await logits.floats();
}

/** Adds what two models say of one position. The divergence is sum p (b - o) - log Z_b + log Z_o of logits b and o. */
function addRow(sums: Sums, base: Float32Array, own: Float32Array, label: number): void {
  let [best, ownBest] = [0, 0];
  for (let i = 0; i < base.length; i++) {
    const [b, o] = [base[i]!, own[i]!];
    if (b > base[best]!) best = i;
    if (o > own[ownBest]!) ownBest = i;
    sums.largest = Math.max(sums.largest, Math.abs(b));
    sums.difference = Math.max(sums.difference, Math.abs(b - o));
  }
  const [most, ownMost] = [base[best]!, own[ownBest]!];
  let [sum, ownSum, weighted] = [0, 0, 0];
  for (let i = 0; i < base.length; i++) {
    const probability = Math.exp(base[i]! - most);
    sum += probability;
    weighted += probability * (base[i]! - own[i]!);
    ownSum += Math.exp(own[i]! - ownMost);
  }
  const [norm, ownNorm] = [most + Math.log(sum), ownMost + Math.log(ownSum)];
  sums.positions++;
  sums.base += norm - base[label]!;
  sums.own += ownNorm - own[label]!;
  sums.kl += weighted / sum - norm + ownNorm;
  sums.same += best === ownBest ? 1 : 0;
}
