import type { GenerateRequest, SamplingParams, TokenUsage } from '@largeforge/engine';
import type { ServedModel } from './served-model.js';

export interface CompletionOptions {
  readonly model: ServedModel;
  readonly prompt: string;
  readonly sampling: SamplingParams;
  readonly maxTokens: number;
  readonly stop: readonly string[];
  readonly signal: AbortSignal;
  /** Called with each piece of text as it comes. */
  readonly onText?: (text: string) => void;
}

export interface CompletionResult {
  readonly text: string;
  readonly finishReason: 'stop' | 'length';
  readonly usage: TokenUsage;
  readonly seconds: number;
  /** Seconds until the first piece of text. */
  readonly firstTokenSeconds?: number;
}

/** Continues a text. An empty prompt starts from the model's begin or end token. */
export async function complete(options: CompletionOptions): Promise<CompletionResult> {
  const { model, prompt } = options;
  const { tokenizer } = model;
  let tokens = await tokenizer.encode(prompt, { addSpecialTokens: true });
  if (tokens.length === 0) tokens = [tokenizer.bosTokenId ?? tokenizer.eosTokenIds[0] ?? 0];
  const request: GenerateRequest = {
    promptTokens: tokens,
    sampling: options.sampling,
    maxTokens: Math.min(options.maxTokens, Math.max(1, model.contextLength - tokens.length)),
    stop: options.stop,
    signal: options.signal,
  };
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  let text = '';
  let firstTokenSeconds: number | undefined;
  for await (const event of model.generate(request)) {
    if (event.type === 'token') {
      firstTokenSeconds ??= elapsed();
      text += event.text;
      options.onText?.(event.text);
    } else {
      const { finishReason, usage } = event;
      return {
        text,
        finishReason,
        usage,
        seconds: elapsed(),
        ...(firstTokenSeconds !== undefined && { firstTokenSeconds }),
      };
    }
  }
  throw new Error('the stream of tokens ended without saying why');
}
