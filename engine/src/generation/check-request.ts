import { generationErrors } from './errors.js';
import type { GenerateRequest } from './request.js';

/** What the engine can take. */
export interface RequestBounds {
  readonly contextLength: number;
  readonly vocabSize: number;
}

/**
 * Throws LF_ENGINE_CONTEXT_LENGTH when prompt and `maxTokens` exceed the context, and LF_ENGINE_INVALID_REQUEST when a
 * value is out of range.
 */
export function checkRequest(request: GenerateRequest, { contextLength, vocabSize }: RequestBounds): void {
  const refuse = (field: string, reason: string) => generationErrors.INVALID_REQUEST({ field, reason });
  const { promptTokens, maxTokens, sampling, forced = [] } = request;
  if (promptTokens.length === 0) throw refuse('promptTokens', 'the prompt is empty');
  if (!Number.isInteger(maxTokens) || maxTokens < (forced.length > 0 ? 0 : 1))
    throw refuse('maxTokens', `${maxTokens} is not a positive integer`);
  const prompt = promptTokens.length + forced.length;
  if (prompt + maxTokens > contextLength) {
    throw generationErrors.CONTEXT_LENGTH({ prompt, requested: maxTokens, limit: contextLength });
  }
  const inVocabulary = (token: number) => Number.isInteger(token) && token >= 0 && token < vocabSize;
  for (const [field, tokens] of Object.entries({ promptTokens, forced })) {
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]!;
      if (inVocabulary(token)) continue;
      throw refuse(`${field}[${i}]`, `${token} is not a token of this model's vocabulary of ${vocabSize}`);
    }
  }
  for (const token of sampling.logitBias?.keys() ?? []) {
    if (!inVocabulary(token)) throw refuse('logitBias', `${token} is not in the vocabulary of ${vocabSize}`);
  }
}
