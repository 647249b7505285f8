import type { Tokenizer } from '@largeforge/engine';
import type { ModelTokenizer } from './served-model.js';

/** The engine's tokenizer as commands and servers see it. */
export function servedTokenizer(tokenizer: Tokenizer): ModelTokenizer & { tokenBytes(id: number): Uint8Array } {
  return {
    vocabSize: tokenizer.vocabSize,
    bosTokenId: tokenizer.bosTokenId,
    eosTokenIds: tokenizer.eosTokenIds,
    ...(tokenizer.maxTokenLength !== undefined && { maxTokenLength: tokenizer.maxTokenLength }),
    encode: (text, options) => tokenizer.encode(text, options),
    decode: (ids, options) => {
      const decoder = tokenizer.streamDecoder(options);
      return Array.from(ids, (id) => decoder.push(id)).join('') + decoder.flush();
    },
    tokenBytes: (id) => tokenizer.tokenBytes(id),
    applyChatTemplate: (messages, options) => tokenizer.applyChatTemplate(messages as never, options),
  };
}
