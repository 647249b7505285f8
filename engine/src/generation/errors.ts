import { defineEngineErrors } from '../errors.js';

/** What can be wrong with a request to the generation engine. */
export const generationErrors = defineEngineErrors({
  CONTEXT_LENGTH: {
    message: (args: { prompt: number; requested: number; limit: number }) =>
      `this model's maximum context length is ${args.limit} tokens; the prompt has ${args.prompt} and ${args.requested} more were asked for`,
    remedy: () => 'Shorten the prompt, ask for fewer tokens, or give the key-value cache more memory.',
  },
  INVALID_REQUEST: {
    message: (args: { field: string; reason: string }) => `${args.field}: ${args.reason}`,
    remedy: () => 'Correct the request.',
  },
  CACHE_TOO_SMALL: {
    message: (args: { bytes: number; needed: number }) =>
      `the key-value cache may take ${Math.floor(args.bytes)} bytes, and one block takes ${args.needed}`,
    remedy: () => 'Give the cache more memory, or use a smaller model.',
  },
  DRAFT_VOCABULARY: {
    message: (args: { draft: number; model: number }) =>
      `the draft model has a vocabulary of ${args.draft} tokens, and the model that it shall guess for one of ${args.model}`,
    remedy: () => 'Use a draft model of the same family, with the same tokenizer.',
  },
  CLOSED: {
    message: () => 'the generation engine was closed',
    remedy: () => 'Load the model again.',
  },
});
