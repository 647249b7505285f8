import { setMaxListeners } from 'node:events';
import { createGenerationEngine, greedy, type ScoredSequence, SequenceScorer } from '@largeforge/engine';
import { evaluateErrors } from '../errors.js';
import type { LocalModel } from '../local-model.js';
import type {
  Answer,
  EvaluatedModel,
  GenerationRequest,
  ModelRun,
  PairScore,
  Prompt,
  ScoredPair,
} from './evaluated-model.js';

export interface LocalEvaluationOptions {
  /** Tokens that go through the model at once when texts are scored. */
  readonly batchTokens: number;
  /** Answers that are generated side by side. */
  readonly maxSequences?: number;
}

/** A model that is loaded here. Tokens are split into context and continuation as lm-evaluation-harness splits them. */
export class LocalEvaluatedModel implements EvaluatedModel {
  readonly name: string;

  constructor(
    private readonly local: LocalModel,
    private readonly options: LocalEvaluationOptions,
  ) {
    this.name = local.path;
  }

  async logLikelihoods(pairs: readonly ScoredPair[], { signal, onProgress }: ModelRun): Promise<PairScore[]> {
    const sequences = await Promise.all(pairs.map((pair) => this.sequence(pair)));
    const scorer = new SequenceScorer(this.local.model, { batchTokens: this.options.batchTokens });
    return scorer.score(sequences, { signal, ...(onProgress && { onProgress }) });
  }

  async textLogLikelihoods(texts: readonly string[], { signal, onProgress }: ModelRun): Promise<number[]> {
    const { tokenizer, model } = this.local;
    const window = model.config.maxPositions;
    const windows: ScoredSequence[] = [];
    const owners: number[] = [];
    for (const [index, text] of texts.entries()) {
      const tokens = await tokenizer.encode(text);
      // Each token is scored once. The last window reaches back as far as it can, for what stands before its tokens.
      for (let start = 0; start < tokens.length; start += window) {
        const end = Math.min(start + window, tokens.length);
        const sequence =
          start === 0
            ? Int32Array.of(this.prefixToken(), ...tokens.subarray(0, end))
            : tokens.subarray(end - window - 1, end);
        windows.push({ tokens: sequence, from: sequence.length - (end - start) });
        owners.push(index);
      }
    }
    const scorer = new SequenceScorer(model, { batchTokens: this.options.batchTokens, sharePrefixes: false });
    const scores = await scorer.score(windows, { signal, onProgress: (done) => onProgress?.(owners[done - 1]! + 1) });
    const sums = texts.map(() => 0);
    scores.forEach(({ logLikelihood }, i) => {
      sums[owners[i]!]! += logLikelihood;
    });
    return sums;
  }

  async generate(requests: readonly GenerationRequest[], { signal, onProgress }: ModelRun): Promise<Answer[]> {
    const { model, tokenizer } = this.local;
    const { maxSequences = 32 } = this.options;
    const engine = createGenerationEngine({ model, tokenizer, limits: { maxSequences } });
    // Every answer listens to it at once.
    setMaxListeners(0, signal);
    let done = 0;
    try {
      return await Promise.all(
        requests.map(async (request, index) => {
          const { maxTokens, temperature, topP = 1, topK = 0, until, ignoreEndOfText: ignoreEos = false } = request;
          const all = await this.encode(request.prompt);
          const promptTokens = all.subarray(Math.max(0, all.length - (engine.contextLength - maxTokens)));
          let first = 0;
          let text = '';
          let tokens = 0;
          const sampling = temperature === 0 ? greedy : { ...greedy, temperature, topP, topK, seed: index };
          const start = performance.now();
          for await (const event of engine.generate({
            promptTokens,
            sampling,
            maxTokens,
            stop: until,
            ignoreEos,
            signal,
          })) {
            if (event.type === 'done') {
              tokens = event.usage.completionTokens;
              continue;
            }
            first ||= performance.now() - start;
            text += event.text;
          }
          onProgress?.(++done);
          const seconds = (performance.now() - start) / 1000;
          return { text, promptTokens: promptTokens.length, tokens, firstTokenSeconds: first / 1000, seconds };
        }),
      );
    } finally {
      await engine.close();
    }
  }

  memoryBytes(): number {
    return this.local.device.memory().allocated;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.local[Symbol.dispose]();
  }

  /** The tokens of a pair; spaces that end the context belong to the continuation, as tokens begin with them. */
  private async sequence(pair: ScoredPair): Promise<ScoredSequence> {
    const { tokenizer, model } = this.local;
    const rendered = this.render(pair.context);
    const context = rendered.trimEnd();
    const continuation = rendered.slice(context.length) + pair.continuation;
    const limit = model.config.maxPositions + 1;
    let tokens: Int32Array;
    let from: number;
    if (context === '') {
      const own = await tokenizer.encode(continuation, { addSpecialTokens: false });
      const prefix = this.prefixToken();
      tokens = own[0] === prefix ? own : Int32Array.of(prefix, ...own);
      from = 1;
    } else {
      tokens = await this.encode(context + continuation);
      from = (await this.encode(context)).length;
    }
    if (from >= tokens.length) throw evaluateErrors.LF_EVALUATE_EMPTY_CONTINUATION({ continuation: pair.continuation });
    const cut = Math.max(0, tokens.length - limit);
    return { tokens: tokens.subarray(cut), from: Math.max(1, from - cut) };
  }

  private render(prompt: Prompt): string {
    if (typeof prompt === 'string') return prompt;
    return this.local.tokenizer.applyChatTemplate(prompt, { addGenerationPrompt: true });
  }

  /** With the special tokens that the tokenizer puts around texts, unless the text begins with them. */
  private encode(prompt: Prompt): Promise<Int32Array> {
    const { tokenizer } = this.local;
    const text = this.render(prompt);
    const { bosTokenId } = tokenizer;
    const bos = bosTokenId === undefined ? '' : Buffer.from(tokenizer.tokenBytes(bosTokenId)).toString('utf8');
    return tokenizer.encode(text, { addSpecialTokens: bos === '' || !text.startsWith(bos) });
  }

  /** Stands for an empty context: BOS, else the end of a text. */
  private prefixToken(): number {
    const { tokenizer, path } = this.local;
    const token = tokenizer.bosTokenId ?? tokenizer.eosTokenIds[0];
    if (token === undefined) throw evaluateErrors.LF_EVALUATE_NO_BOS({ model: path });
    return token;
  }
}
