import {
  type Device,
  type EncoderModel,
  loadModel,
  openDevice,
  packSequences,
  readModelSource,
  scope,
  Tokenizer,
} from '@largeforge/engine';
import { routerErrors } from '../errors.js';
import { excerpt, maxTokens } from './excerpt.js';
import { WordPieces } from './word-piece.js';

/** Texts to unit vectors. */
export interface SentenceEncoder {
  /** Length of the vectors. */
  readonly size: number;
  encode(texts: readonly string[]): Promise<Float32Array[]>;
  close(): Promise<void>;
}

/** A BERT-like sentence encoder (MiniLM, BGE, E5) on the engine, in 8 bits, mean-pooled, with its own device. */
export class EngineSentenceEncoder implements SentenceEncoder {
  /** Ends when the last call does; undefined when none runs. */
  private busy: Promise<unknown> | undefined;

  private constructor(
    private readonly device: Device,
    private readonly model: EncoderModel,
    private readonly tokenizer: Tokenizer,
    private readonly pieces: WordPieces | undefined,
    private readonly limit: number,
  ) {}

  get size(): number {
    return this.model.config.hiddenSize;
  }

  /**
   * @param path a Hugging Face folder of a sentence encoder
   * @param backend the backend's library, and how many threads it may use: one leaves the others to generation
   * @param limit tokens that are read of a text
   */
  static async open(
    path: string,
    backend: { readonly library: string; readonly threads?: number | undefined; readonly device?: number },
    limit = maxTokens,
  ): Promise<EngineSentenceEncoder> {
    const { library, threads, device: index } = backend;
    // A decision is short, and its query waits: it goes before what generates all the while.
    const device = openDevice({ library, threads, index, urgent: true });
    try {
      const source = readModelSource(path);
      const tokenizer = Tokenizer.of(source);
      const model = await loadModel(device, path, { dtype: 'bf16', weights: 'q8_0' });
      if (model.kind !== 'encoder') throw routerErrors.LF_ROUTER_NOT_AN_ENCODER({ path, kind: model.config.modelType });
      model.prepare();
      await device.flush();
      const pieces = WordPieces.of(source.tokenizer);
      return new EngineSentenceEncoder(device, model, tokenizer, pieces, Math.min(limit, model.config.maxPositions));
    } catch (error) {
      device[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Calls run one after another, in the order in which they came. The device has begun with one that need not wait when
   * this returns, so that its caller can do something else meanwhile.
   */
  encode(texts: readonly string[]): Promise<Float32Array[]> {
    const result = this.busy ? this.busy.then(() => this.run(texts)) : this.run(texts);
    const ended = result
      .catch(() => undefined)
      .then(() => {
        if (this.busy === ended) this.busy = undefined;
      });
    this.busy = ended;
    return result;
  }

  async close(): Promise<void> {
    await this.busy;
    this.model[Symbol.dispose]();
    this.device[Symbol.dispose]();
  }

  private async run(texts: readonly string[]): Promise<Float32Array[]> {
    const cut = texts.map((text) => this.tokens(text));
    // What is there already needs no turn of the event loop.
    const sequences = cut.every((ids) => ids instanceof Int32Array) ? cut : await Promise.all(cut);
    const pooled = scope(() => this.model.embed(packSequences(sequences)));
    try {
      const values = await pooled.floats();
      return texts.map((_, i) => values.slice(i * this.size, (i + 1) * this.size));
    } finally {
      pooled.dispose();
    }
  }

  private tokens(text: string): Int32Array | Promise<Int32Array> {
    return excerpt(text, this.limit, (part) => this.pieces?.encode(part, this.limit) ?? this.tokenizer.encode(part));
  }
}
