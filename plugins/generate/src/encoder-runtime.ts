import type { ChosenBackend } from '@largeforge/core';
import { type Device, type LanguageModel, loadModel, openDevice, readModelSource, Tokenizer } from '@largeforge/engine';
import { type Pooling, readPooling } from './embedding/pooling.js';
import { TextEmbedder } from './embedding/text-embedder.js';
import { modelErrors } from './errors.js';
import type { ServedModel } from './served-model.js';
import { servedTokenizer } from './served-tokenizer.js';

/** A sentence encoder on a device of its own: it gives vectors and generates nothing. */
export class EncoderRuntime {
  private constructor(
    private readonly device: Device,
    private readonly model: LanguageModel,
    private readonly tokenizer: Tokenizer,
    private readonly pooling: Pooling,
    /** Where the model was read from. */
    readonly path: string,
    private readonly loadSeconds: number,
  ) {}

  /** @throws what loading a model throws, and LF_MODEL_POOLING */
  static async open({ library, threads, device: index }: ChosenBackend, path: string): Promise<EncoderRuntime> {
    const start = performance.now();
    const source = readModelSource(path);
    const pooling = readPooling(source.path);
    const device = openDevice({ library, threads, index });
    try {
      const model = await loadModel(device, path);
      model.prepare();
      await device.flush();
      const seconds = (performance.now() - start) / 1000;
      return new EncoderRuntime(device, model, Tokenizer.of(source), pooling, path, seconds);
    } catch (error) {
      device[Symbol.dispose]();
      throw error;
    }
  }

  /** The model under a name. */
  serve(id: string): ServedModel {
    const { device, model, pooling, loadSeconds } = this;
    const embedder = new TextEmbedder(model, pooling);
    const contextLength = Math.min(model.config.maxPositions, pooling.maxLength ?? Number.POSITIVE_INFINITY);
    let running = 0;
    return {
      id,
      tokenizer: servedTokenizer(this.tokenizer),
      contextLength,
      generates: false,
      generate() {
        throw modelErrors.LF_MODEL_NOT_GENERATING({ id });
      },
      embedding: {
        size: embedder.size,
        async embed(texts, signal) {
          running++;
          try {
            return await embedder.embed(texts, signal);
          } finally {
            running--;
          }
        },
      },
      stats() {
        const { name, kind } = device.properties;
        return { running, waiting: 0, loadSeconds, device: { name, kind, memoryUsedBytes: device.memoryUsed() } };
      },
    };
  }

  async close(): Promise<void> {
    await this.device.flush().catch(() => {});
    this.model.dispose();
    this.device[Symbol.dispose]();
  }
}
