import {
  type CausalLanguageModel,
  commands,
  type Linear,
  type PackedBatch,
  packSequences,
  Tensor,
} from '@largeforge/engine';

/** Linear layers that read one and the same tensor, and X^T X of it, f32 [K, K] persistent. */
export interface SharedInput {
  readonly linears: readonly Linear[];
  readonly square: Tensor;
}

/**
 * Calibration windows on their way through a model, layer by layer: a few windows a batch, with the residual stream that
 * each batch has before the next layer. Only one layer's weights are needed at a time.
 */
export class CalibrationStream implements Disposable {
  private readonly batches: { readonly batch: PackedBatch; residual: Tensor }[];
  /** Rows that every statistic is a sum over. */
  readonly rows: number;

  /**
   * @param windows of tokens, of equal length; they are embedded at once
   * @param batchTokens that go through a layer together
   */
  constructor(
    private readonly model: CausalLanguageModel,
    windows: readonly Int32Array[],
    batchTokens: number,
  ) {
    const count = Math.max(1, Math.floor(batchTokens / windows[0]!.length));
    this.rows = windows.length * windows[0]!.length;
    this.batches = [];
    for (let start = 0; start < windows.length; start += count) {
      const batch = packSequences(windows.slice(start, start + count));
      this.batches.push({ batch, residual: model.embedded(batch) });
    }
  }

  /**
   * Runs a layer over every batch without moving on. `visit` sees, in the order of the run, what each linear layer reads;
   * it may record commands with the input, not keep it.
   */
  async observe(layer: number, linears: readonly Linear[], visit: LinearVisitor, signal?: AbortSignal): Promise<void> {
    for (const [index, { batch, residual }] of this.batches.entries()) {
      signal?.throwIfAborted();
      for (const linear of linears) linear.observer = (x) => visit(linear, x, index);
      try {
        this.model.runLayer(layer, residual, batch).dispose();
      } finally {
        for (const linear of linears) linear.observer = undefined;
      }
      await this.model.device.flush();
    }
  }

  /** X^T X of what the linear layers of a layer read, summed over all batches; one for all that read the same tensor. */
  async squares(layer: number, linears: readonly Linear[], signal?: AbortSignal): Promise<SharedInput[]> {
    const shared: { linears: Linear[]; square: Tensor }[] = [];
    const ofLinear = new Map<Linear, (typeof shared)[number]>();
    let inputs = new Map<number, (typeof shared)[number]>();
    let current = -1;
    const visit: LinearVisitor = (linear, x, index) => {
      if (index !== current) inputs = new Map();
      current = index;
      if (inputs.has(x.id)) {
        const known = inputs.get(x.id)!;
        if (!ofLinear.has(linear)) {
          known.linears.push(linear);
          ofLinear.set(linear, known);
        }
        return;
      }
      let own = ofLinear.get(linear);
      if (!own) {
        const k = linear.inFeatures;
        own = { linears: [linear], square: Tensor.empty(x.device, [k, k], 'f32', 'persistent') };
        shared.push(own);
        ofLinear.set(linear, own);
      }
      inputs.set(x.id, own);
      const math = x.dtype === 'bf16' ? 'bf16' : 'f32';
      commands.linearBackwardWeight(
        x.device.recorder,
        { beta: index === 0 ? 0 : 1, math },
        { x, dy: x, dw: own.square },
      );
    };
    await this.observe(layer, linears, visit, signal);
    return shared;
  }

  /** Replaces the residual streams by what a layer, as it is now, makes of them. */
  async advance(layer: number, signal?: AbortSignal): Promise<void> {
    for (const entry of this.batches) {
      signal?.throwIfAborted();
      const next = this.model.runLayer(layer, entry.residual, entry.batch);
      entry.residual.dispose();
      entry.residual = next;
      await this.model.device.flush();
    }
  }

  /** The first windows' residual streams: what a search over candidates runs a layer on. */
  sample(batches: number): readonly { readonly batch: PackedBatch; readonly residual: Tensor }[] {
    return this.batches.slice(0, batches);
  }

  [Symbol.dispose](): void {
    for (const { residual } of this.batches) residual.dispose();
  }
}

/** @param index of the batch */
export type LinearVisitor = (linear: Linear, x: Tensor, index: number) => void;
