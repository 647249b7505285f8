import { setTimeout as sleep } from 'node:timers/promises';
import type {
  ChatMessage,
  GenerateEvent,
  GenerateRequest,
  ModelHost,
  ModelInfo,
  ModelSpec,
  ModelStats,
  ServedModel,
  ServedTokenizer,
} from '../src/models.js';

/** One token for each code point, and a template that writes the roles out. */
export const characterTokenizer = {
  vocabSize: 0x110000,
  bosTokenId: 2,
  eosTokenIds: [3],
  maxTokenLength: 1,
  encode: async (text: string) => Array.from(text, (character) => character.codePointAt(0)!),
  decode: (ids: ArrayLike<number>) => Array.from(ids, (id) => String.fromCodePoint(id)).join(''),
  applyChatTemplate: (messages: readonly ChatMessage[], { addGenerationPrompt }: { addGenerationPrompt: boolean }) => {
    if (messages.some(({ content }) => content === 'refuse me')) throw new Error('roles must alternate');
    return `${messages.map(({ role, content }) => `<${role}>${content}`).join('')}${addGenerationPrompt ? '<assistant>' : ''}`;
  },
};

export interface Script {
  /** What the model answers to a prompt. */
  reply?: (prompt: string, request: GenerateRequest) => string;
  /** Resolves before the first token: keeps a sequence queued. */
  gate?: (request: GenerateRequest) => Promise<void>;
  /** Milliseconds between tokens. */
  pace?: number;
  /** Throws in place of this token. */
  failAt?: { token: number; error: Error };
  contextLength?: number;
  chatTemplate?: string | null;
  constrains?: boolean;
  scoresTexts?: boolean;
  /** False for a model that gives vectors alone. */
  generates?: boolean;
  /** The vector of a text; the model gives none without it. */
  vector?: (tokens: ArrayLike<number>) => Float32Array;
}

/** A model that says what a test tells it to, one character a token, as an engine would: stops, limits, cancellation. */
export class ScriptedModel implements ServedModel {
  readonly tokenizer = {
    ...characterTokenizer,
    applyChatTemplate: (...[messages, options]: Parameters<ServedTokenizer['applyChatTemplate']>) => {
      this.offered = options.tools;
      return characterTokenizer.applyChatTemplate(messages, options);
    },
  };
  /** Tools that the template was last given. */
  offered?: readonly unknown[];
  readonly contextLength: number;
  readonly chatTemplate?: string;
  readonly constrains: boolean;
  readonly scoresTexts: boolean;
  readonly generates: boolean;
  readonly embedding?: ServedModel['embedding'];
  readonly requests: GenerateRequest[] = [];
  running = 0;
  cancelled = 0;
  tokens = 0;
  failure?: string;

  constructor(
    readonly id: string,
    readonly script: Script = {},
  ) {
    this.constrains = script.constrains ?? true;
    this.scoresTexts = script.scoresTexts ?? true;
    this.generates = script.generates ?? true;
    const { vector } = script;
    if (vector) this.embedding = { size: vector([1]).length, embed: async (texts) => texts.map(vector) };
    this.contextLength = script.contextLength ?? 1024;
    if (script.chatTemplate !== null) this.chatTemplate = script.chatTemplate ?? '{{ messages }}';
  }

  async *generate(request: GenerateRequest): AsyncIterable<GenerateEvent> {
    const { script } = this;
    this.requests.push(request);
    this.running++;
    try {
      if (script.gate) await abortable(script.gate(request), request.signal);
      const forced = Array.from(request.forced ?? []);
      const prompt = characterTokenizer.decode([...Array.from(request.promptTokens), ...forced]);
      const full = script.reply?.(prompt, request) ?? `echo: ${prompt}`;
      const stops = request.stop.map((stop) => full.indexOf(stop)).filter((at) => at >= 0);
      const end = Math.min(full.length, ...stops);
      const characters = Array.from(full.slice(0, end));
      const kept = characters.slice(0, request.maxTokens);
      for (const [index, text] of kept.entries()) {
        if (script.failAt?.token === index) throw script.failAt.error;
        if (script.pace !== undefined) await sleep(script.pace, undefined, { signal: request.signal });
        request.signal.throwIfAborted();
        this.tokens++;
        const token = text.codePointAt(0)!;
        const top = Array.from({ length: request.logprobs ?? 0 }, (_, rank) => ({
          token: token + rank,
          logprob: -0.5 - rank,
        }));
        yield {
          type: 'token',
          text,
          tokens: [token],
          ...(request.logprobs !== undefined && { logprobs: [{ token, logprob: -0.5, top }] }),
        };
      }
      const finishReason = kept.length < characters.length ? 'length' : 'stop';
      yield {
        type: 'done',
        finishReason,
        usage: { promptTokens: prompt.length, completionTokens: kept.length, cachedTokens: 1 },
        ...(forced.length > 0 && {
          forcedLogprobs: forced.map((token) => ({ token, logprob: -2, top: [{ token: token + 1, logprob: -0.25 }] })),
        }),
      };
    } finally {
      this.running--;
      if (request.signal.aborted) this.cancelled++;
    }
  }

  stats(): ModelStats {
    return {
      running: this.running,
      waiting: 0,
      cacheUsage: 0.25,
      loadSeconds: 1.5,
      device: { name: 'cpu:0', kind: 'cpu', memoryUsedBytes: 4096 },
      ...(this.failure !== undefined && { failure: this.failure }),
    };
  }
}

function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject);
  });
}

export class ScriptedHost implements ModelHost {
  readonly models = new Map<string, ScriptedModel>();
  /** What was asked to be loaded. */
  readonly specs: ModelSpec[] = [];

  constructor(...models: ScriptedModel[]) {
    for (const model of models) this.models.set(model.id, model);
  }

  list(): ModelInfo[] {
    return [...this.models.keys()].map((id) => ({
      id,
      created: 1_700_000_000,
      ownedBy: 'tests',
      ...(id.includes('adapter') && { parent: 'base' }),
    }));
  }

  async get(id: string): Promise<ServedModel> {
    return this.models.get(id)!;
  }

  async load(spec: ModelSpec): Promise<ModelInfo> {
    const { path, id } = spec;
    this.specs.push(spec);
    if (path === '/nowhere')
      throw Object.assign(new Error('There is no model at /nowhere.'), { remedy: 'Check the path.' });
    const model = new ScriptedModel(id ?? path);
    this.models.set(model.id, model);
    return this.list().find((info) => info.id === model.id)!;
  }

  async unload(id: string): Promise<void> {
    this.models.delete(id);
  }
}
