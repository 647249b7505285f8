import { type CausalLanguageModel, packSequences } from '@largeforge/engine';
import { pruneErrors } from '../errors.js';
import { largest, turned } from './importance.js';

/**
 * How much each layer turns the residual stream: the mean over calibration tokens of 1 - cos(before, after), "block influence"
 * (ShortGPT, Men et al. 2024, equation 1). Memory holds one layer's weights.
 */
export async function blockInfluence(
  model: CausalLanguageModel,
  windows: readonly Int32Array[],
  signal: AbortSignal,
): Promise<number[]> {
  const { numLayers, hiddenSize, modules } = model.config;
  const batches = windows.map((window) => packSequences([window]));
  const streams = batches.map((batch) => model.embedded(batch));
  const before: Float32Array[] = [];
  for (const stream of streams) before.push(await stream.floats());
  const rows = before.reduce((sum, { length }) => sum + length / hiddenSize, 0);
  const influence: number[] = [];
  try {
    for (let layer = 0; layer < numLayers; layer++) {
      let sum = 0;
      for (const [i, batch] of batches.entries()) {
        signal.throwIfAborted();
        const next = model.runLayer(layer, streams[i]!, batch);
        streams[i]!.dispose();
        streams[i] = next;
        const after = await next.floats();
        sum += turned(before[i]!, after, hiddenSize);
        before[i] = after;
      }
      influence.push(sum / rows);
      const prefix = `${modules.layers}.${layer}.`;
      for (const [name, parameter] of model.parameters()) if (name.startsWith(prefix)) parameter.release();
    }
  } finally {
    for (const stream of streams) stream.dispose();
  }
  if (!influence.every(Number.isFinite)) throw pruneErrors.LF_PRUNE_ACTIVATIONS({ layer: modules.layers });
  return influence;
}

/** Layers that stay when `share` of them go: those that turn the stream most. */
export function keptLayers(influence: readonly number[], share: number): number[] {
  const total = influence.length;
  const gone = Math.floor(total * share);
  if (gone === 0) throw pruneErrors.LF_PRUNE_TOO_MUCH({ what: 'layers', total, sparsity: share });
  return largest(influence, total - gone);
}
