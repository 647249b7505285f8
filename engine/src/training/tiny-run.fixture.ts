import { createHash } from 'node:crypto';
import type { Device } from '../device/device.js';
import { asCausal, createModel } from '../models/load.js';
import type { CausalLanguageModel } from '../models/model.js';
import type { OptimizerOptions, TrainingOptions } from './options.js';
import { trainingOptions } from './options.js';
import { PhiloxStream } from './random.js';
import { memoryRows, type RowSource } from './row-source.js';
import type { TokenRow } from './token-batch.js';

/** A Llama of two small layers, every parameter of which is trained. */
export function tinyModel(device: Device, dtype: 'f32' | 'bf16' = 'f32'): CausalLanguageModel {
  const config = {
    model_type: 'llama',
    vocab_size: 40,
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 64,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: true,
    initializer_range: 0.2,
  };
  const model = asCausal(createModel(device, config, { dtype, seed: 3 }));
  model.setTrainable(true);
  return model;
}

/** Documents in which a token follows from the one before it. */
export function tinyRows(count = 12, seed = 1): RowSource<TokenRow> {
  const random = new PhiloxStream(seed, 0);
  const rows = Array.from({ length: count }, () => {
    const tokens = [random.below(40)];
    const length = 3 + random.below(10);
    while (tokens.length < length) tokens.push(((tokens.at(-1) as number) * 3 + 1) % 40);
    const mask = tokens.map((_, t) => (t < 1 + random.below(2) ? 0 : 1));
    return { tokens: Int32Array.from(tokens), mask: Uint8Array.from(mask) };
  });
  return memoryRows(rows, (row) => row.tokens.length, `tiny-${count}-${seed}`);
}

export function tinyOptions(
  options: Partial<Omit<TrainingOptions, 'optimizer'>> & { optimizer?: Partial<OptimizerOptions> } = {},
): TrainingOptions {
  const optimizer = { learningRate: 0.01, weightDecay: 0.1, ...options.optimizer };
  return trainingOptions.parse({ batchSize: 2, accumulation: 2, maxSteps: 8, ...options, optimizer });
}

/** A digest of every trained parameter: equal when all bits are. */
export async function weightsOf(model: CausalLanguageModel): Promise<Record<string, string>> {
  const weights: Record<string, string> = {};
  for (const [name, { master }] of model.trainableParameters()) {
    if (master)
      weights[name] = createHash('sha256')
        .update(await master.device.read(master, master.bytes))
        .digest('hex')
        .slice(0, 16);
  }
  return weights;
}
