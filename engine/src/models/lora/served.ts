import * as commands from '../../device/commands/index.js';
import { Tensor } from '../../tensor/tensor.js';
import type { LanguageModel } from '../model.js';

/** Values of an adapter that is served beside others: for each layer a [r, in], b [out, r], and the scale. */
export type ServedAdapter = ReadonlyMap<string, { readonly a: Tensor; readonly b: Tensor; readonly scale: number }>;

/**
 * Stacks adapters so that each row of a batch can use its own: `PagedBatch.adapters` holds indices into this list. Ranks
 * are filled up with zeros to the largest, and scales are folded into B. An empty list takes the stacks off.
 */
export function serveAdapters(model: LanguageModel, adapters: readonly ServedAdapter[]): void {
  const { device, dtype } = model;
  const { recorder } = device;
  for (const [name, layer] of model.linears) {
    layer.served?.a.dispose();
    layer.served?.b.dispose();
    layer.served = undefined;
    const rank = Math.max(0, ...adapters.map((adapter) => adapter.get(name)?.a.shape[0] ?? 0));
    if (rank === 0) continue;
    const { inFeatures, outFeatures } = layer;
    const a = Tensor.zeros(device, [adapters.length, rank, inFeatures], dtype, 'persistent');
    const b = Tensor.zeros(device, [adapters.length, outFeatures, rank], dtype, 'persistent');
    adapters.forEach((adapter, index) => {
      const branch = adapter.get(name);
      if (!branch) return;
      const r = branch.a.shape[0]!;
      using rowsOfA = a.narrow(0, index, 1);
      using targetA = rowsOfA.narrow(1, 0, r);
      using sourceA = branch.a.reshape(1, r, inFeatures);
      commands.copy(recorder, sourceA, targetA);
      using rowsOfB = b.narrow(0, index, 1);
      using targetB = rowsOfB.narrow(2, 0, r);
      using sourceB = branch.b.reshape(1, outFeatures, r);
      // One rounding: scaled in f32, stored in the compute precision.
      commands.binary(recorder, 'add', sourceB, sourceB, targetB, branch.scale, 0);
    });
    layer.served = { a, b };
  }
}
