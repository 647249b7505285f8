import {
  type CausalLanguageModel,
  createGenerationEngine,
  greedy,
  KvCache,
  type MicroBatch,
  PhiloxStream,
  streamOf,
  type Tokenizer,
  type TokenRow,
} from '@largeforge/engine';

export interface SampleSettings {
  /** Of the micro-batches whose answers are the student's own. */
  readonly share: number;
  readonly maxTokens: number;
  readonly temperature: number;
  /** Tokens of prompt and answer together. */
  readonly maxLength: number;
  readonly seed: number;
}

/**
 * On-policy rows (GKD, Agarwal et al. 2024, algorithm 1): in a share of the micro-batches, the answers of the rows are those
 * that the student gives to their prompts now. Everything follows from the weights, the seed and the micro-batch's place.
 */
export function studentSamples(model: CausalLanguageModel, tokenizer: Tokenizer, settings: SampleSettings) {
  const { share, maxTokens, temperature, maxLength, seed } = settings;
  return async (rows: readonly TokenRow[], { step, index }: MicroBatch): Promise<readonly TokenRow[]> => {
    const random = new PhiloxStream(seed, streamOf('sample', 31 * step + index));
    if (random.uint32() / 2 ** 32 >= share) return rows;
    const prompts = rows.map(promptOf);
    const seeds = rows.map(() => random.uint32());
    const [end] = tokenizer.eosTokenIds;
    const longest = Math.max(...prompts.map((prompt) => prompt.length)) + maxTokens;
    const engine = createGenerationEngine({
      model,
      tokenizer,
      // The weights change with every step: nothing that was computed before may be used again.
      limits: { prefixCache: false, maxSequences: rows.length },
      batchInvariant: true,
      cacheBytes: cacheBytes(model, rows.length, longest),
    });
    try {
      return await Promise.all(
        rows.map(async (row, i) => {
          const prompt = prompts[i] as Int32Array;
          const room = Math.min(maxTokens, maxLength - prompt.length);
          // A row that has no prompt, or no room for an answer, is learnt as it is.
          if (prompt.length === 0 || room < 1) return row;
          const sampling = { ...greedy, temperature, seed: seeds[i] as number };
          const answer: number[] = [];
          for await (const event of engine.generate({ promptTokens: prompt, maxTokens: room, sampling })) {
            if (event.type === 'token') answer.push(...event.tokens);
            // The end is something to learn, too.
            else if (event.finishReason === 'stop' && end !== undefined && answer.at(-1) !== end) answer.push(end);
          }
          return answer.length === 0 ? row : sampled(prompt, answer);
        }),
      );
    } finally {
      await engine.close();
    }
  };
}

/** The tokens before the first target. */
function promptOf({ tokens, mask }: TokenRow): Int32Array {
  const first = mask.indexOf(1);
  return tokens.subarray(0, first < 0 ? 0 : first);
}

function sampled(prompt: Int32Array, answer: readonly number[]): TokenRow {
  const tokens = new Int32Array(prompt.length + answer.length);
  tokens.set(prompt);
  tokens.set(answer, prompt.length);
  return { tokens, mask: new Uint8Array(tokens.length).fill(1, prompt.length) };
}

/** Keys and values of so many sequences of a length. */
function cacheBytes({ device, config, dtype }: CausalLanguageModel, sequences: number, length: number): number {
  const { kvBlockSize } = device.properties;
  return sequences * Math.ceil(length / kvBlockSize) * KvCache.blockBytes(config, kvBlockSize, dtype);
}
