import { type Encoding, Tokenizer as NativeTokenizer } from 'tokenizers';
import type { ModelSource, TokenizerSource } from '../formats/model-source.js';
import { type ChatMessage, ChatTemplate, type ChatTemplateOptions } from './chat-template.js';
import { tokenizerErrors } from './errors.js';
import { byteLevelBytes, StreamDecoder, sentencePieceBytes, type TokenBytes } from './token-text.js';

export interface EncodeOptions {
  /** Tokens that the tokenizer puts around every text (BOS, [CLS] ...); true unless given. */
  readonly addSpecialTokens?: boolean;
}

export interface EncodingWithOffsets {
  readonly tokens: Int32Array;
  /** Start and end of each token in the text, in UTF-16 units, one pair behind the other. */
  readonly offsets: Int32Array;
}

/** A conversation as training sees it. */
export interface RenderedConversation {
  readonly text: string;
  readonly tokens: Int32Array;
  /** 1 on what the assistant says, its end-of-turn token included. */
  readonly mask: Uint8Array;
}

/** A tokenizer with its special tokens and its chat template. Encoding runs on threads of the tokenizers library. */
export class Tokenizer {
  readonly vocabSize: number;
  readonly bosTokenId: number | undefined;
  readonly padTokenId: number | undefined;
  /** Tokens that end a text. */
  readonly eosTokenIds: readonly number[];
  readonly chatTemplate: ChatTemplate | undefined;
  /**
   * Characters of a text that one token stands for at most, so that a text that cannot fit is known without encoding it;
   * undefined where encoding may leave characters out.
   */
  readonly maxTokenLength: number | undefined;
  private readonly special: ReadonlySet<number>;
  private readonly bytesOf: TokenBytes | undefined;
  private readonly stripsLeadingSpace: boolean;

  private constructor(
    private readonly native: NativeTokenizer,
    readonly source: TokenizerSource,
    readonly path: string,
    eosFromModel: readonly number[],
  ) {
    const { config, chatTemplate, outline = source.tokenizer } = source;
    this.vocabSize = native.getVocabSize(true);
    const idOf = (key: string) => {
      const content = tokenContent(config[key]);
      return content === undefined ? undefined : (native.tokenToId(content) ?? undefined);
    };
    const added = (outline.added_tokens ?? []) as AddedToken[];
    this.special = new Set(added.filter((token) => token.special).map((token) => token.id));
    this.bosTokenId = idOf('bos_token');
    this.padTokenId = idOf('pad_token');
    const eos = idOf('eos_token');
    this.eosTokenIds = [...new Set([...(eos === undefined ? [] : [eos]), ...eosFromModel])];
    const names = ['bos_token', 'eos_token', 'unk_token', 'pad_token'];
    const special = Object.fromEntries(
      names.flatMap((name) => (tokenContent(config[name]) === undefined ? [] : [[name, tokenContent(config[name])!]])),
    );
    this.chatTemplate = chatTemplate === undefined ? undefined : new ChatTemplate(chatTemplate, special);
    const pieces = piecesOf(native);
    const vocabulary = { pieces, added: new Set(added.map((token) => token.id)) };
    const strips = added.some((token) => token.lstrip || token.rstrip) || outline.normalizer != null;
    this.maxTokenLength = strips
      ? undefined
      : pieces.reduce((longest, piece) => Math.max(longest, piece?.length ?? 0), 1);
    const kinds = decoderKinds(outline.decoder);
    this.bytesOf = kinds.has('ByteLevel')
      ? byteLevelBytes(vocabulary)
      : kinds.has('ByteFallback') || kinds.has('Metaspace')
        ? sentencePieceBytes(vocabulary)
        : undefined;
    this.stripsLeadingSpace = kinds.has('Strip') || kinds.has('Metaspace');
  }

  /** From a model's files. `generationConfig` may name more tokens that end a text. Throws LF_ENGINE_TOKENIZER_MISSING. */
  static of(model: Pick<ModelSource, 'path' | 'tokenizer' | 'generationConfig' | 'config'>): Tokenizer {
    if (!model.tokenizer) throw tokenizerErrors.TOKENIZER_MISSING({ path: model.path });
    const eos = [model.generationConfig?.eos_token_id ?? model.config.eos_token_id].flat();
    return Tokenizer.from(
      model.tokenizer,
      model.path,
      eos.filter((id): id is number => typeof id === 'number'),
    );
  }

  static from(source: TokenizerSource, path = 'this model', eosTokenIds: readonly number[] = []): Tokenizer {
    let native: NativeTokenizer;
    try {
      native = NativeTokenizer.fromString(source.json ?? JSON.stringify(source.tokenizer));
    } catch (cause) {
      throw tokenizerErrors.TOKENIZER_INVALID({ path, reason: (cause as Error).message }, { cause });
    }
    // Truncation and padding belong to whoever batches.
    native.disableTruncation();
    native.disablePadding();
    return new Tokenizer(native, source, path, eosTokenIds);
  }

  async encode(text: string, options: EncodeOptions = {}): Promise<Int32Array> {
    return Int32Array.from((await this.encoding(text, options)).getIds());
  }

  /** Encodes many texts, side by side on the library's threads. */
  async encodeBatch(texts: readonly string[], { addSpecialTokens = true }: EncodeOptions = {}): Promise<Int32Array[]> {
    const encodings = await this.native.encodeBatch([...texts], { addSpecialTokens } as never);
    return encodings.map((encoding) => Int32Array.from(encoding.getIds()));
  }

  async encodeWithOffsets(text: string, options: EncodeOptions = {}): Promise<EncodingWithOffsets> {
    const encoding = await this.encoding(text, options);
    const offsets = encoding.getOffsets().flat();
    return { tokens: Int32Array.from(encoding.getIds()), offsets: toUtf16(text, offsets) };
  }

  async decode(ids: ArrayLike<number>, { skipSpecialTokens = true } = {}): Promise<string> {
    return this.native.decode(Array.from(ids), skipSpecialTokens);
  }

  /** Decodes a stream of ids, special tokens left out unless `skipSpecialTokens` is false. */
  streamDecoder({ skipSpecialTokens = true } = {}): StreamDecoder {
    if (!this.bytesOf) {
      throw tokenizerErrors.TOKENIZER_INVALID({
        path: this.path,
        reason: 'its decoder is none of ByteLevel, ByteFallback and Metaspace, so its tokens cannot be streamed',
      });
    }
    return new StreamDecoder(this.bytesOf, skipSpecialTokens ? this.special : new Set(), this.stripsLeadingSpace);
  }

  /** Whether a token is a control token: no part of any text. */
  isSpecial(id: number): boolean {
    return this.special.has(id);
  }

  /** Bytes of one token, as `logprobs` in OpenAI's shape lists them. */
  tokenBytes(id: number): Uint8Array {
    return this.bytesOf?.(id) ?? Buffer.from(this.native.idToToken(id) ?? '', 'utf8');
  }

  tokenToId(token: string): number | undefined {
    return this.native.tokenToId(token) ?? undefined;
  }

  /** Renders a conversation to text. Throws LF_ENGINE_CHAT_TEMPLATE_MISSING or _FAILED. */
  applyChatTemplate(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    return this.templateCall((template) => template.render(messages, options));
  }

  /**
   * Renders and encodes a conversation, and marks what the assistant says: by the template's own `{% generation %}` marks,
   * else by rendering the conversation up to each assistant message with and without it.
   */
  async renderConversation(
    messages: readonly ChatMessage[],
    options: Omit<ChatTemplateOptions, 'addGenerationPrompt'> = {},
  ): Promise<RenderedConversation> {
    const { text, spans } = this.templateCall((template) =>
      template.marksGeneration
        ? template.renderMarked(messages, options)
        : this.spansByPrefix(template, messages, options),
    );
    const { tokens, offsets } = await this.encodeWithOffsets(text, { addSpecialTokens: false });
    const mask = new Uint8Array(tokens.length);
    let span = 0;
    for (let i = 0; i < tokens.length; i++) {
      const [start, end] = [offsets[2 * i]!, offsets[2 * i + 1]!];
      while (span < spans.length && spans[span]![1] <= start) span++;
      if (span < spans.length && start >= spans[span]![0] && end <= spans[span]![1]) mask[i] = 1;
    }
    return { text, tokens, mask };
  }

  private spansByPrefix(
    template: ChatTemplate,
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions,
  ): { text: string; spans: [number, number][] } {
    const text = template.render(messages, options);
    const spans: [number, number][] = [];
    for (const [i, message] of messages.entries()) {
      if (message.role !== 'assistant') continue;
      const before = template.render(messages.slice(0, i), { ...options, addGenerationPrompt: true });
      const after = template.render(messages.slice(0, i + 1), options);
      if (!after.startsWith(before) || !text.startsWith(after))
        throw tokenizerErrors.CHAT_TEMPLATE_MISMATCH({ path: this.path, message: i });
      spans.push([before.length, this.endOfTurn(text, before.length, after.length)]);
    }
    return { text, spans };
  }

  /** What follows the end-of-turn token (a line break, usually) belongs to the template, not to the assistant. */
  private endOfTurn(text: string, start: number, end: number): number {
    const turn = text.slice(start, end);
    const trimmed = turn.trimEnd();
    const ends = [...this.special].some((id) => {
      const content = this.native.idToToken(id);
      return content != null && content !== '' && trimmed.endsWith(content);
    });
    return ends ? start + trimmed.length : end;
  }

  private templateCall<T>(fn: (template: ChatTemplate) => T): T {
    if (!this.chatTemplate) throw tokenizerErrors.CHAT_TEMPLATE_MISSING({ path: this.path });
    try {
      return fn(this.chatTemplate);
    } catch (cause) {
      if ((cause as { remedy?: unknown }).remedy !== undefined) throw cause;
      throw tokenizerErrors.CHAT_TEMPLATE_FAILED({ path: this.path, reason: (cause as Error).message }, { cause });
    }
  }

  private encoding(text: string, { addSpecialTokens = true }: EncodeOptions): Promise<Encoding> {
    return this.native.encode(text, null, { addSpecialTokens });
  }
}

/** A token of tokenizer.json that is no part of the model's own vocabulary. */
interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  /** Takes the white space before it, or behind it, away. */
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
}

/** Ids that a tokenizer uses may have gaps; beyond this none are looked for. */
const MOST_IDS = 2 ** 22;

/** The spelling of each id, asked for one by one: the vocabulary as one object takes several times the memory. */
function piecesOf(native: NativeTokenizer): (string | undefined)[] {
  const pieces: (string | undefined)[] = [];
  let left = native.getVocabSize(true);
  while (left > 0 && pieces.length < MOST_IDS) {
    const piece = native.idToToken(pieces.length) ?? undefined;
    if (piece !== undefined) left--;
    pieces.push(piece);
  }
  return pieces;
}

/** A special token in tokenizer_config.json is a string, or an object with its content. */
function tokenContent(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  const content = (value as { content?: unknown } | null | undefined)?.content;
  return typeof content === 'string' ? content : undefined;
}

/** The types of a decoder and of all decoders inside of it. */
function decoderKinds(decoder: unknown): Set<string> {
  const { type, decoders } = (decoder ?? {}) as { type?: string; decoders?: unknown[] };
  return new Set([
    ...(type === undefined ? [] : [type]),
    ...(decoders ?? []).flatMap((inner) => [...decoderKinds(inner)]),
  ]);
}

/** Offsets in code points, as the library gives them, in UTF-16 units. */
function toUtf16(text: string, offsets: readonly number[]): Int32Array {
  // Without surrogates the two are the same.
  if (!/[\uD800-\uDBFF]/.test(text)) return Int32Array.from(offsets);
  const units: number[] = [];
  let unit = 0;
  for (const character of text) {
    units.push(unit);
    unit += character.length;
  }
  units.push(unit);
  return Int32Array.from(offsets, (offset) => units[offset] ?? unit);
}
