import {
  type CausalLanguageModel,
  commands,
  type Device,
  type Linear,
  type PackedBatch,
  type PartialLayer,
  packSequences,
  scope,
  Tensor,
} from '@largeforge/engine';

/** Rows for each column of an input that the least squares of drift correction get, where there are as many. */
const ROWS_PER_COLUMN = 16;

/** Linear layers that read one and the same tensor X. */
export interface SharedInput {
  readonly linears: readonly Linear[];
  /** X^T X, f32 [K, K] persistent. */
  readonly square: Tensor;
  /**
   * X^T (Y - X), f32 [K, K] persistent, where the stream follows the original model: Y is what the layers read in it, where
   * no layer before them was changed. Over the rows that are followed there.
   */
  readonly shift?: Tensor;
  /** X^T X of the rows that `shift` is over, f32 [K, K] persistent, where these are not all. */
  readonly shiftSquare?: Tensor;
}

/** Disposes of what `squares` gave. */
export function disposeInput({ square, shift, shiftSquare }: SharedInput): void {
  for (const tensor of [square, shift, shiftSquare]) tensor?.dispose();
}

/** Linear layers that read one and the same tensor, and a number for each of its columns, [K]. */
export interface InputSizes {
  readonly linears: readonly Linear[];
  readonly sizes: Float32Array;
}

/** Shares the range of an input with the weights that read it, by a change of the norm that makes it. */
export interface Smoothing {
  /** Whether what these read can be smoothed. */
  wants(linears: readonly Linear[]): boolean;
  /**
   * Divides what the norm makes and multiplies the weights. Gives what each column is divided by from now on, [K].
   * @param input with the largest value of each column less its smallest
   */
  smooth(input: InputSizes): Promise<Float32Array>;
}

/**
 * Calibration windows on their way through a model, layer by layer: a few windows a batch, with the residual stream that
 * each batch has before the next layer. Only one layer's weights are needed at a time.
 */
export class CalibrationStream implements Disposable {
  private readonly batches: { readonly batch: PackedBatch; residual: Tensor; original: Tensor | undefined }[];
  /** Batches, the first ones, whose stream in the original model is followed too. */
  private readonly followed: number;
  /** Where batches stand inside of a layer, while one is gone through in parts. */
  private inside: { own: PartialLayer; original: PartialLayer | undefined }[] = [];
  /** Layers that the streams of the original model have been through. */
  private passed = 0;
  /** Rows that every statistic is a sum over. */
  readonly rows: number;

  /**
   * @param windows of tokens, of equal length; they are embedded at once
   * @param batchTokens that go through a layer together
   * @param paired follows the original model as well, with streams of its own, for as many windows as tell how far inputs drift: the
   * first `squares` of a layer takes them through it, and must come before its weights change
   */
  constructor(
    private readonly model: CausalLanguageModel,
    windows: readonly Int32Array[],
    batchTokens: number,
    private readonly paired = false,
  ) {
    const count = Math.max(1, Math.floor(batchTokens / windows[0]!.length));
    this.rows = windows.length * windows[0]!.length;
    this.batches = [];
    const { hiddenSize, intermediateSize, numHeads, headDim } = model.config;
    const enough = paired ? ROWS_PER_COLUMN * Math.max(hiddenSize, intermediateSize, numHeads * headDim) : 0;
    for (let start = 0; start < windows.length; start += count) {
      const batch = packSequences(windows.slice(start, start + count));
      const residual = model.embedded(batch);
      const follow = start * windows[0]!.length < enough;
      this.batches.push({ batch, residual, original: follow ? residual.retain() : undefined });
    }
    this.followed = this.batches.filter(({ original }) => original).length;
  }

  /**
   * Runs a layer over every batch without moving on, as far as the last of `linears` reads its input. `visit` sees, in the
   * order of the run, what each linear layer reads; it may record commands with the input, not keep it.
   */
  async observe(
    layer: number,
    linears: readonly Linear[],
    visit: LinearVisitor,
    signal?: AbortSignal,
    before?: (index: number) => void,
  ): Promise<void> {
    for (const [index, { batch, residual }] of this.batches.entries()) {
      signal?.throwIfAborted();
      before?.(index);
      const left = new Set(linears);
      for (const linear of linears) {
        linear.observer = (x) => {
          visit(linear, x, index);
          left.delete(linear);
          if (left.size === 0) throw new EnoughSeen();
        };
      }
      try {
        this.model.runLayer(layer, residual, batch).dispose();
      } catch (error) {
        if (!(error instanceof EnoughSeen)) throw error;
      } finally {
        for (const linear of linears) linear.observer = undefined;
      }
      await this.model.device.flush();
    }
  }

  /** X^T X of what the linear layers of a layer read, summed over all batches; one for all that read the same tensor. */
  async squares(layer: number, linears: readonly Linear[], signal?: AbortSignal): Promise<SharedInput[]> {
    const shared: { linears: Linear[]; square: Tensor; shift?: Tensor; shiftSquare?: Tensor }[] = [];
    const follows = this.paired && this.passed === layer;
    const partly = follows && this.followed < this.batches.length;
    let originals = new Map<Linear, Tensor>();
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
        const matrix = () => Tensor.empty(x.device, [k, k], 'f32', 'persistent');
        own = {
          ...{ linears: [linear], square: matrix() },
          ...(follows && { shift: matrix() }),
          ...(partly && { shiftSquare: matrix() }),
        };
        shared.push(own);
        ofLinear.set(linear, own);
      }
      inputs.set(x.id, own);
      addSquare(x, own.square, index === 0 ? 0 : 1);
      if (own.shiftSquare && index === this.followed - 1) commands.copy(x.device.recorder, own.square, own.shiftSquare);
      if (own.shift && index < this.followed) addShift(x, originals.get(linear)!, own.shift, index === 0 ? 0 : 1);
    };
    const before = (index: number) => {
      for (const original of new Set(originals.values())) original.dispose();
      originals = index < this.followed ? this.originalInputs(layer, linears, index) : new Map();
    };
    await this.observe(layer, linears, visit, signal, follows ? before : undefined);
    for (const original of new Set(originals.values())) original.dispose();
    if (follows) this.passed++;
    for (const { square, shiftSquare } of shared) {
      mirror(square);
      if (shiftSquare) mirror(shiftSquare);
    }
    return shared;
  }

  /** The diagonal of X^T X of what linear layers of a layer read, over all batches. */
  async columnSquares(layer: number, linears: readonly Linear[], signal?: AbortSignal): Promise<InputSizes[]> {
    const { device } = this.model;
    const { recorder } = device;
    const shared = new Map<number, { linears: Linear[]; sizes: Tensor }>();
    const ofLinear = new Map<Linear, { linears: Linear[]; sizes: Tensor }>();
    const visit: LinearVisitor = (linear, x, index) => {
      const known = index === 0 ? shared.get(x.id) : undefined;
      if (known) {
        known.linears.push(linear);
        return;
      }
      if (index === 0) {
        const sizes = Tensor.zeros(device, [linear.inFeatures], 'f32', 'persistent');
        const own = { linears: [linear], sizes };
        shared.set(x.id, own);
        ofLinear.set(linear, own);
      }
      // Of the layers that share an input, the first one's visit counts.
      const own = ofLinear.get(linear);
      if (!own) return;
      scope(() => {
        const [rows, k] = x.shape as [number, number];
        const here = Tensor.empty(device, [k]);
        commands.reduce(recorder, 'sumSquares', x.view([k, rows], [1, k]), here);
        commands.binary(recorder, 'add', own.sizes, here, own.sizes);
      });
    };
    await this.observe(layer, linears, visit, signal);
    const found: InputSizes[] = [];
    for (const { linears: own, sizes } of shared.values()) {
      found.push({ linears: own, sizes: (await sizes.floats()).slice() });
      sizes.dispose();
    }
    return found;
  }

  /** Takes a stream of the original model through a layer; returns copies of what linear layers read on the way. */
  private originalInputs(layer: number, linears: readonly Linear[], index: number): Map<Linear, Tensor> {
    const entry = this.batches[index]!;
    const inputs = new Map<Linear, Tensor>();
    const copies = new Map<number, Tensor>();
    for (const linear of linears) {
      linear.observer = (x) => {
        let copy = copies.get(x.id);
        if (!copy) {
          copy = Tensor.empty(x.device, x.shape, x.dtype, 'persistent');
          commands.copy(x.device.recorder, x, copy);
          copies.set(x.id, copy);
        }
        inputs.set(linear, copy);
      };
    }
    try {
      const next = this.model.runLayer(layer, entry.original!, entry.batch);
      entry.original!.dispose();
      entry.original = next;
    } finally {
      for (const linear of linears) linear.observer = undefined;
    }
    return inputs;
  }

  /** X^T X of what comes out of the last layer, through the final norm: what the head reads. */
  async headSquare(signal?: AbortSignal): Promise<Tensor> {
    const { device, config } = this.model;
    const square = Tensor.zeros(device, [config.hiddenSize, config.hiddenSize], 'f32', 'persistent');
    for (const { residual } of this.batches) {
      signal?.throwIfAborted();
      scope(() => addSquare(this.model.normalized(residual), square, 1));
      await device.flush();
    }
    mirror(square);
    return square;
  }

  /**
   * Replaces the residual streams by what a layer, as it is now, makes of them. `visit` sees on the way what each of
   * `linears` reads, as with `observe`.
   */
  async advance(
    layer: number,
    signal?: AbortSignal,
    { linears, visit }: { linears: readonly Linear[]; visit: LinearVisitor } = { linears: [], visit: () => {} },
  ): Promise<void> {
    const follows = this.paired && this.passed === layer;
    for (const [index, entry] of this.batches.entries()) {
      signal?.throwIfAborted();
      if (follows && entry.original) this.originalInputs(layer, [], index);
      for (const linear of linears) linear.observer = (x) => visit(linear, x, index);
      let next: Tensor;
      try {
        next = this.model.runLayer(layer, entry.residual, entry.batch);
      } finally {
        for (const linear of linears) linear.observer = undefined;
      }
      entry.residual.dispose();
      entry.residual = next;
      await this.model.device.flush();
    }
    if (follows) this.passed++;
  }

  /**
   * Takes the residual streams through a layer part by part, each of which runs once: before linear layers that read one
   * input run, `change` is given X^T X of that input, over all batches, and may change their weights.
   * @param linears of which statistics are wanted
   * @param options.end runs what comes after the last of them; without it the streams are of no more use
   * @param options.smoothing changes inputs before X^T X is summed
   */
  async advanceInParts(
    layer: number,
    linears: readonly Linear[],
    change: (input: SharedInput) => Promise<void>,
    {
      signal,
      end,
      smoothing,
    }: { readonly signal?: AbortSignal; readonly end: boolean; readonly smoothing?: Smoothing },
  ): Promise<void> {
    const { model, batches } = this;
    const parts = model.layerParts(layer);
    const follows = this.paired && this.passed === layer;
    this.inside = batches.map(({ batch, residual, original }) => ({
      own: { residual },
      original: follows && original ? parts[0]!.run({ residual: original }, batch) : undefined,
    }));
    for (const [p, { feeds, run }] of parts.entries()) {
      const readers = feeds.filter((linear) => linears.includes(linear));
      const k = readers[0]?.inFeatures ?? 0;
      const matrix = () => Tensor.empty(model.device, [k, k], 'f32', 'persistent');
      using square = k > 0 ? matrix() : undefined;
      using shift = k > 0 && follows ? matrix() : undefined;
      using shiftSquare = shift && this.followed < batches.length ? matrix() : undefined;
      if (feeds.length === 0 && !end) break;
      const next = parts[p + 1];
      const sum = async (index: number) => {
        const state = this.inside[index]!;
        const beta = index === 0 ? 0 : 1;
        if (square) addSquare(state.own.input!, square, beta);
        if (shiftSquare && index === this.followed - 1) commands.copy(model.device.recorder, square!, shiftSquare);
        if (shift && state.original) addShift(state.own.input!, state.original.input!, shift, beta);
        // The original goes ahead while its weights are there.
        if (state.original && next)
          state.original = replaced(state.original, next.run(state.original, batches[index]!.batch));
        await model.device.flush();
      };
      using range = square && smoothing?.wants(readers) ? new ColumnRange(model.device, k) : undefined;
      for (const [index, state] of this.inside.entries()) {
        signal?.throwIfAborted();
        state.own = replaced(state.own, run(state.own, batches[index]!.batch));
        range?.add(state.own.input!);
        await (range ? model.device.flush() : sum(index));
      }
      if (range) {
        const columns = await smoothing!.smooth({ linears: readers, sizes: await range.values() });
        using shares = Tensor.from(
          model.device,
          columns.map((scale) => 1 / scale),
        );
        for (const [index, { own, original }] of this.inside.entries()) {
          signal?.throwIfAborted();
          for (const { input } of original ? [own, original] : [own]) {
            const factors = shares.view(input!.shape, [0, 1]);
            commands.binary(model.device.recorder, 'mul', input!, factors, input!);
            factors.dispose();
          }
          await sum(index);
        }
      }
      if (!square) continue;
      mirror(square);
      if (shiftSquare) mirror(shiftSquare);
      await change({ linears: readers, square, ...(shift && { shift }), ...(shiftSquare && { shiftSquare }) });
    }
    for (const [index, { own, original }] of this.inside.entries()) {
      const entry = batches[index]!;
      own.input?.dispose();
      own.attended?.dispose();
      if (original) original.input?.dispose();
      entry.residual = own.residual;
      if (original) entry.original = original.residual;
    }
    this.inside = [];
    if (follows) this.passed++;
  }

  [Symbol.dispose](): void {
    for (const { residual, original } of this.batches) {
      residual.dispose();
      original?.dispose();
    }
    for (const { own, original } of this.inside) {
      for (const state of [own, original]) {
        for (const tensor of [state?.residual, state?.input, state?.attended]) tensor?.dispose();
      }
    }
  }
}

/** The largest value of each column less its smallest, over batches of rows. */
class ColumnRange implements Disposable {
  /** f32 [K]: the largest of the values, and of what they are times -1. */
  private readonly ends: readonly [Tensor, Tensor];
  private begun = false;

  constructor(device: Device, columns: number) {
    const end = () => Tensor.empty(device, [columns], 'f32', 'persistent');
    this.ends = [end(), end()];
  }

  add(x: Tensor): void {
    const { recorder } = x.device;
    const [rows, k] = x.shape as [number, number];
    scope(() => {
      const opposite = Tensor.empty(x.device, x.shape, x.dtype);
      commands.binary(recorder, 'min', x, x, opposite, -1, -1);
      for (const [i, values] of [x, opposite].entries()) {
        const end = this.ends[i]!;
        const here = this.begun ? Tensor.empty(x.device, [k]) : end;
        commands.reduce(recorder, 'max', values.view([k, rows], [1, k]), here);
        if (this.begun) commands.binary(recorder, 'max', end, here, end);
      }
    });
    this.begun = true;
  }

  /** [K] */
  async values(): Promise<Float32Array> {
    const [largest, opposite] = await Promise.all(this.ends.map((end) => end.floats()));
    return largest!.map((value, c) => value + opposite![c]!);
  }

  [Symbol.dispose](): void {
    for (const end of this.ends) end.dispose();
  }
}

/** @param index of the batch */
export type LinearVisitor = (linear: Linear, x: Tensor, index: number) => void;

/** A later state of a batch, in place of one of which nothing else is kept. */
function replaced(before: PartialLayer, after: PartialLayer): PartialLayer {
  const kept = new Set(Object.values(after));
  for (const tensor of Object.values(before) as Tensor[]) if (!kept.has(tensor)) tensor.dispose();
  return after;
}

/** Ends the run of a layer of which nothing more is wanted. */
class EnoughSeen extends Error {}

/** Panels of a square's upper half. */
const panels = (k: number) => {
  const width = Math.max(64, Math.ceil(k / 256) * 64);
  return Array.from({ length: Math.ceil(k / width) }, (_, i) => [i * width, Math.min(width, k - i * width)] as const);
};

/** Adds the upper half of x^T x to a square, panel by panel of rows; a panel begins at its diagonal block. */
function addSquare(x: Tensor, square: Tensor, beta: 0 | 1): void {
  const k = square.shape[0]!;
  const math = x.dtype === 'bf16' ? 'bf16' : 'f32';
  scope(() => {
    for (const [start, width] of panels(k)) {
      const dw = square.narrow(0, start, width).narrow(1, start, k - start);
      const operands = { x: x.narrow(1, start, k - start), dy: x.narrow(1, start, width), dw };
      commands.linearBackwardWeight(x.device.recorder, { beta, math }, operands);
    }
  });
}

/** Adds x^T (original - x) to a matrix. The difference is taken in f32, and rounded to what x has. */
function addShift(x: Tensor, original: Tensor, shift: Tensor, beta: 0 | 1): void {
  const { recorder } = x.device;
  const math = x.dtype === 'bf16' ? 'bf16' : 'f32';
  scope(() => {
    const difference = Tensor.empty(x.device, x.shape, x.dtype);
    commands.binary(recorder, 'sub', original, x, difference);
    commands.linearBackwardWeight(recorder, { beta, math }, { x: difference, dy: x, dw: shift });
  });
}

/** Makes the lower half of a matrix that of its upper one, outside of the diagonal blocks of panels. */
function mirror(square: Tensor): void {
  const k = square.shape[0]!;
  scope(() => {
    for (const [start, width] of panels(k)) {
      const rest = k - start - width;
      if (rest === 0) continue;
      const above = square.narrow(0, start, width).narrow(1, start + width, rest);
      const below = square.narrow(0, start + width, rest).narrow(1, start, width);
      commands.copy(square.device.recorder, above.view([rest, width], [1, k]), below);
    }
  });
}
