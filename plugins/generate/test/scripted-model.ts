import { setTimeout as sleep } from 'node:timers/promises';
import type { GenerateEvent, GenerateRequest } from '@largeforge/engine';
import type { ChatMessage, ServedModel } from '../src/served-model.js';

/** A model of one token a character that says what a test tells it to. */
export class ScriptedModel implements ServedModel {
  readonly id = 'scripted';
  readonly chatTemplate = 'x';
  readonly prompts: string[] = [];
  cancelled = 0;

  constructor(
    private readonly reply: (prompt: string) => string,
    readonly contextLength = 1000,
    private readonly pace?: number,
  ) {}

  readonly tokenizer = {
    vocabSize: 0x110000,
    eosTokenIds: [3],
    encode: (text: string) => Array.from(text, (character) => character.codePointAt(0)!),
    decode: (ids: ArrayLike<number>) => Array.from(ids, (id) => String.fromCodePoint(id)).join(''),
    applyChatTemplate: (messages: readonly ChatMessage[]) =>
      `${messages.map(({ role, content }) => `<${role}>${content}`).join('')}<assistant>`,
  };

  async *generate(request: GenerateRequest): AsyncIterable<GenerateEvent> {
    const prompt = this.tokenizer.decode(request.promptTokens);
    this.prompts.push(prompt);
    const all = Array.from(this.reply(prompt));
    const kept = all.slice(0, request.maxTokens);
    for (const text of kept) {
      if (this.pace !== undefined) await sleep(this.pace);
      if (request.signal?.aborted) {
        this.cancelled++;
        throw request.signal.reason;
      }
      yield { type: 'token', text, tokens: [text.codePointAt(0)!] };
    }
    const usage = { promptTokens: request.promptTokens.length, completionTokens: kept.length, cachedTokens: 0 };
    yield { type: 'done', finishReason: kept.length < all.length ? 'length' : 'stop', usage };
  }

  stats() {
    return {
      running: 0,
      waiting: 0,
      cacheUsage: 0,
      loadSeconds: 0,
      device: { name: 'none', kind: 'cpu', memoryUsedBytes: 0 },
    };
  }
}
