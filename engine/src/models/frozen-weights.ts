import { quantizeNf4 } from '../nn/codes/nf4.js';
import { tableCodes } from '../nn/codes/table-codes.js';
import { unscoped } from '../tensor/scope.js';
import type { LanguageModel } from './model.js';

/** What the frozen layers of a model are kept in while an adapter is trained beside them (QLoRA, Dettmers et al. 2023). */
export type FrozenWeights = 'as-stored' | 'nf4';

/**
 * Keeps the linear layers of a model, all but its head, in codes: those of an AWQ, GPTQ or bitsandbytes checkpoint, or NF4 with double
 * quantisation. Every product decodes its weight anew. To be called before anything is computed, so that no layer is ever in
 * memory as floats; blocks of GGUF files need no call, `LoadOptions.weights` keeps them in their own bits.
 * @returns bytes of the codes
 */
export async function keepFrozenWeights(model: LanguageModel, kind: FrozenWeights): Promise<number> {
  const { device } = model;
  let bytes = 0;
  for (const { weight } of model.linears.values()) {
    if (weight.trainable) continue;
    if (!weight.keepCodes() && kind === 'nf4') {
      using values = unscoped(() => weight.stored());
      weight.keepCodes(tableCodes(device, await quantizeNf4(device, values)));
    }
    bytes += weight.codeBytes;
  }
  await device.flush();
  device.trim();
  return bytes;
}
