import {
  type CausalLanguageModel,
  createGenerationEngine,
  greedy,
  PhiloxStream,
  type Tokenizer,
} from '@largeforge/engine';

/** Tokens after the first that are the most likely ones, before tokens are drawn. */
const GREEDY = 4;

/**
 * Texts that a model writes, as in LLM-QAT (Liu et al. 2023, section 3.1): a first token at random, the next ones the most
 * likely, the rest drawn. The model's own distribution stands in for the data that it was trained on.
 */
export async function ownTexts(
  model: CausalLanguageModel,
  tokenizer: Tokenizer,
  { windows, length, seed, signal }: { windows: number; length: number; seed: number; signal: AbortSignal },
  onProgress: (done: number) => void,
): Promise<Int32Array[]> {
  const engine = createGenerationEngine({ model, tokenizer, limits: { maxSequences: 32 } });
  const random = new PhiloxStream(seed, 0);
  const special = new Set([tokenizer.bosTokenId, ...tokenizer.eosTokenIds]);
  const firsts = Array.from({ length: windows }, () => {
    for (;;) {
      const token = random.below(model.config.vocabSize);
      if (!special.has(token)) return token;
    }
  });
  const extend = async (tokens: readonly number[], count: number, temperature: number, own: number) => {
    const out = [...tokens];
    const sampling = temperature === 0 ? greedy : { ...greedy, temperature, seed: seed + own };
    const request = { promptTokens: out, sampling, maxTokens: count, ignoreEos: true, signal };
    for await (const event of engine.generate(request)) if (event.type === 'token') out.push(...event.tokens);
    return out;
  };
  try {
    let done = 0;
    return await Promise.all(
      firsts.map(async (first, own) => {
        const begun = Math.min(GREEDY, length - 1);
        const start = await extend([first], begun, 0, own);
        const all = length - 1 > begun ? await extend(start, length - 1 - begun, 1, own) : start;
        onProgress(++done);
        return Int32Array.from(all.slice(0, length));
      }),
    );
  } finally {
    await engine.close();
  }
}
