import { GenerationEngine } from '../generation/engine.js';
import { ModelExecutor } from '../generation/model-executor.js';
import { greedy } from '../generation/request.js';
import type { CausalLanguageModel } from '../models/model.js';
import { scope } from '../tensor/scope.js';

const BLOCK = 4;

/** Logits f32 of every position of a sequence, over a cache: the first tokens at once, the others one by one. */
export async function decodeLogits(
  model: CausalLanguageModel,
  tokens: Int32Array,
  first: number,
): Promise<Float32Array[]> {
  const blocks = Math.ceil(tokens.length / BLOCK);
  using cache = model.createCache({ blocks, blockSize: BLOCK, dtype: model.dtype });
  const rows: Float32Array[] = [];
  for (let done = 0; done < tokens.length; ) {
    const count = done === 0 ? first : 1;
    const positions = Int32Array.from({ length: count }, (_, i) => done + i);
    using logits = scope(() => {
      const hidden = model.decode(
        {
          tokens: tokens.subarray(done, done + count),
          positions,
          cuSeqlens: Int32Array.of(0, count),
          context: Int32Array.of(done + count),
          fullLengths: Int32Array.of(tokens.length),
          slots: positions,
          blockTable: Int32Array.from({ length: blocks }, (_, i) => i),
          maxBlocks: blocks,
          outputRows: Int32Array.from({ length: count }, (_, i) => i),
        },
        cache,
      );
      return model.logits(hidden);
    });
    const values = await logits.floats();
    const width = model.config.vocabSize;
    for (let row = 0; row < count; row++) rows.push(values.slice(row * width, (row + 1) * width));
    done += count;
  }
  return rows;
}

const PROMPT = [5, 17, 40, 3, 22, 9, 31];

/** 32 greedy tokens, or as many as the model has positions for, after a prompt that takes two blocks of the cache. */
export async function greedyTokens(model: CausalLanguageModel): Promise<number[]> {
  const engine = new GenerationEngine({
    executor: new ModelExecutor(model, { maxSequences: 2, blockSize: BLOCK }),
    contextLength: Math.min(64, model.config.maxPositions),
    eosTokenIds: [],
    decoder: () => ({ push: () => '', flush: () => '' }),
  });
  const tokens: number[] = [];
  const request = {
    promptTokens: PROMPT,
    maxTokens: Math.min(32, model.config.maxPositions - PROMPT.length),
    sampling: greedy,
  };
  for await (const event of engine.generate(request)) if (event.type === 'token') tokens.push(...event.tokens);
  await engine.close();
  return tokens;
}
