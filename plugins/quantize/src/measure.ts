import { type CausalLanguageModel, packSequences, scope, Tensor } from '@largeforge/engine';

/** Final hidden states of windows, on the host, before or after a model was quantised. */
export type HiddenStates = readonly Float32Array[];

/** How a quantised model predicts, beside the original on the same windows. */
export interface Comparison {
  readonly windows: number;
  readonly positions: number;
  readonly basePerplexity: number;
  readonly perplexity: number;
  /** `perplexity` over `basePerplexity`. */
  readonly perplexityRatio: number;
  /** Mean over positions of KL(original || quantised), nats. */
  readonly kl: number;
  /** Share of positions whose most likely token is the same. */
  readonly top1: number;
}

/** Rows whose logits are on the host at a time. */
const ROWS = 128;

export async function hiddenStates(
  model: CausalLanguageModel,
  windows: readonly Int32Array[],
  signal: AbortSignal,
): Promise<HiddenStates> {
  const states: Float32Array[] = [];
  for (const window of windows) {
    signal.throwIfAborted();
    using hidden = scope(() => model.hidden(packSequences([window])));
    states.push(await hidden.floats());
  }
  return states;
}

/**
 * Compares the predictions of a quantised model with the hidden states that the original had. The head must be the same.
 * Perplexity counts every token of a window but the first.
 */
export async function compare(
  model: CausalLanguageModel,
  windows: readonly Int32Array[],
  original: HiddenStates,
  signal: AbortSignal,
): Promise<Comparison> {
  const quantized = await hiddenStates(model, windows, signal);
  const sums = { positions: 0, base: 0, own: 0, kl: 0, same: 0 };
  for (const [index, window] of windows.entries()) {
    for (let start = 0; start < window.length - 1; start += ROWS) {
      signal.throwIfAborted();
      const count = Math.min(ROWS, window.length - 1 - start);
      const [base, own] = await Promise.all(
        [original, quantized].map((states) => logitsOf(model, states[index]!, start, count)),
      );
      const vocabulary = base!.length / count;
      for (let row = 0; row < count; row++) {
        const span = (logits: Float32Array) => logits.subarray(row * vocabulary, (row + 1) * vocabulary);
        addRow(sums, span(base!), span(own!), window[start + row + 1]!);
      }
    }
  }
  const { positions } = sums;
  const [basePerplexity, perplexity] = [Math.exp(sums.base / positions), Math.exp(sums.own / positions)];
  return {
    windows: windows.length,
    positions,
    basePerplexity,
    perplexity,
    perplexityRatio: perplexity / basePerplexity,
    kl: sums.kl / positions,
    top1: sums.same / positions,
  };
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

function addRow(
  sums: { positions: number; base: number; own: number; kl: number; same: number },
  base: Float32Array,
  own: Float32Array,
  label: number,
): void {
  const [best, baseNorm] = normalizer(base);
  const [ownBest, ownNorm] = normalizer(own);
  let kl = 0;
  for (let i = 0; i < base.length; i++) {
    const logProbability = base[i]! - baseNorm;
    // Beyond this a token adds less than 1e-12 to the sum.
    if (logProbability > -35) kl += Math.exp(logProbability) * (logProbability - (own[i]! - ownNorm));
  }
  sums.positions++;
  sums.base += baseNorm - base[label]!;
  sums.own += ownNorm - own[label]!;
  sums.kl += kl;
  sums.same += best === ownBest ? 1 : 0;
}

/** The most likely token, and log sum exp. */
function normalizer(logits: Float32Array): [best: number, norm: number] {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  const most = logits[best]!;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - most);
  return [best, most + Math.log(sum)];
}
