import { type LanguageModel, ops, packSequences, scope, Tensor } from '@largeforge/engine';
import type { Pooling } from './pooling.js';

/** Tokens that go through the model at once, about, unless said otherwise. */
const defaultBatchTokens = 1024;

/**
 * Texts to vectors by the hidden states of a model, of an encoder or of a decoder. Calls take turns, batch by batch, so that
 * a long one does not hold up a short one.
 */
export class TextEmbedder {
  private last: Promise<unknown> = Promise.resolve();

  /** @param batchTokens tokens that go through the model at once, about: whoever shares its device waits for no more */
  constructor(
    private readonly model: LanguageModel,
    private readonly pooling: Pooling,
    private readonly batchTokens = defaultBatchTokens,
  ) {}

  /** Length of the vectors. */
  get size(): number {
    return this.model.config.hiddenSize;
  }

  /**
   * @param texts tokens of each, at least one and at most as many as the model has positions
   * @throws the reason of `signal`, between two batches
   */
  async embed(texts: readonly ArrayLike<number>[], signal?: AbortSignal): Promise<Float32Array[]> {
    const vectors: Float32Array[] = [];
    for (let from = 0; from < texts.length; ) {
      let to = from;
      let tokens = 0;
      do tokens += (texts[to++] as ArrayLike<number>).length;
      while (to < texts.length && tokens + (texts[to] as ArrayLike<number>).length <= this.batchTokens);
      const batch = texts.slice(from, to);
      signal?.throwIfAborted();
      vectors.push(...(await this.inTurn(() => this.run(batch))));
      from = to;
    }
    return vectors;
  }

  private async run(texts: readonly ArrayLike<number>[]): Promise<Float32Array[]> {
    const pooled = scope(() => this.pool(texts));
    try {
      const values = await pooled.floats();
      return texts.map((_, i) => values.slice(i * this.size, (i + 1) * this.size));
    } finally {
      pooled.dispose();
    }
  }

  private pool(texts: readonly ArrayLike<number>[]): Tensor {
    const { device } = this.model;
    const batch = packSequences(texts.map((tokens) => Int32Array.from(tokens)));
    const hidden = this.model.hidden(batch);
    const { normalize } = this.pooling;
    if (this.pooling.of === 'mean') {
      const lengths = texts.map(({ length }) => length);
      return ops.meanPool(hidden, Tensor.from(device, batch.cuSeqlens), { normalize, lengths });
    }
    const first = ops.gatherRows(hidden, Tensor.from(device, batch.cuSeqlens.slice(0, -1)));
    // The mean of one row is that row.
    const single = Int32Array.from({ length: texts.length + 1 }, (_, i) => i);
    return ops.meanPool(first, Tensor.from(device, single), { normalize, lengths: texts.map(() => 1) });
  }

  private inTurn<T>(action: () => Promise<T>): Promise<T> {
    const result = this.last.then(action);
    this.last = result.catch(() => {});
    return result;
  }
}
