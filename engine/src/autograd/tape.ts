import * as commands from '../device/commands/index.js';
import type { DType } from '../device/dtype.js';
import { scope, unscoped } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import { autogradErrors } from './errors.js';
import { inBackwardOf, type ModulePath, modulePath } from './module-path.js';

/** What an operation records so that its backward pass can run later. */
export interface TapeEntry {
  /** For messages. */
  readonly name: string;
  readonly inputs: readonly (Tensor | undefined)[];
  readonly outputs: readonly Tensor[];
  /** Tensors that `backward` reads; the tape keeps them alive until then. */
  readonly saved: readonly (Tensor | undefined)[];
  /** Records the backward commands. Runs in a scope of its own; `saved` are in the order given. */
  backward(gradients: Gradients, saved: readonly Tensor[]): void;
  /** A root supplies its gradients itself (a loss that was computed with them): it runs without any from above. */
  readonly root?: boolean;
}

interface Node extends TapeEntry {
  readonly kept: (Tensor | undefined)[];
  readonly outputIds: readonly number[];
  readonly path: ModulePath;
}

/** Where a backward pass reads the gradients of its outputs and leaves those of its inputs. */
export interface Gradients {
  /** Gradient of an output, in the shape of `output`; undefined when nothing that counts depends on it. */
  of(output: Tensor | number): Tensor | undefined;
  /** Whether the gradient of an input is wanted. */
  wants(input: Tensor | undefined): boolean;
  /**
   * Where the gradient of an input is to be written: `beta` is 1 when it already holds a contribution that must be added
   * to, 0 when its contents are undefined.
   */
  into(input: Tensor): { tensor: Tensor; beta: 0 | 1 };
  /** Adds a gradient that the operation made. The tensor may be kept: the caller must not write to it afterwards. */
  add(input: Tensor, gradient: Tensor): void;
}

let active: Tape | undefined;

/** The tape that operations record on, if any. */
export function currentTape(): Tape | undefined {
  return active;
}

/** Runs `fn` with operations recorded on `tape`. */
export function withTape<T>(tape: Tape, fn: () => T): T {
  const outer = active;
  active = tape;
  try {
    return fn();
  } finally {
    active = outer;
  }
}

/** Runs `fn` with no tape: nothing is kept for a backward pass. */
export function withoutTape<T>(fn: () => T): T {
  const outer = active;
  active = undefined;
  try {
    return fn();
  } finally {
    active = outer;
  }
}

/**
 * Remembers operations in the order in which they ran, and runs their backward passes in the reverse order. What an
 * operation saved is freed as soon as its backward pass is recorded, so memory falls as `backward` goes.
 */
export class Tape implements Disposable {
  private nodes: Node[] = [];
  private readonly leaves = new Map<number, Tensor>();
  private readonly produced = new Set<number>();
  private readonly gradients = new Map<number, Tensor>();

  /** Records an operation whose inputs (or parameters) want gradients. Its outputs want them too from now on. */
  record(entry: TapeEntry): void {
    for (const input of entry.inputs) {
      if (input?.requiresGrad && !this.produced.has(input.id)) this.leaves.set(input.id, input);
    }
    for (const output of entry.outputs) {
      output.requiresGrad = true;
      this.produced.add(output.id);
    }
    const kept = unscoped(() => entry.saved.map((tensor) => tensor?.retain()));
    this.nodes.push({ ...entry, kept, outputIds: entry.outputs.map(({ id }) => id), path: modulePath() });
  }

  /** Operations recorded and not yet run backward. */
  get length(): number {
    return this.nodes.length;
  }

  /**
   * Records the backward pass. Roots (losses computed with their gradients) start it; `seeds` gives gradients of further
   * tensors. Gradients of parameters are added to `Parameter.grad`, those of other leaves to `Tensor.grad`.
   */
  backward(...seeds: readonly { tensor: Tensor; gradient: Tensor }[]): void {
    withoutTape(() => {
      for (const { tensor, gradient } of seeds)
        this.keep(
          tensor,
          unscoped(() => gradient.retain()),
        );
      for (let node = this.nodes.pop(); node; node = this.nodes.pop()) this.runBackward(node);
      for (const [id, leaf] of this.leaves) {
        const gradient = this.gradients.get(id);
        if (!gradient || leaf.disposed) continue;
        this.gradients.delete(id);
        if (leaf.grad) {
          commands.binary(leaf.device.recorder, 'add', leaf.grad, gradient, leaf.grad);
          gradient.dispose();
        } else leaf.grad = gradient;
      }
    });
    this.dispose();
  }

  /** Frees everything that the tape keeps. */
  dispose(): void {
    for (const node of this.nodes) for (const tensor of node.kept) tensor?.dispose();
    for (const gradient of this.gradients.values()) gradient.dispose();
    this.nodes = [];
    this.leaves.clear();
    this.produced.clear();
    this.gradients.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  private runBackward(node: Node): void {
    if (node.root || node.outputIds.some((id) => this.gradients.has(id))) {
      inBackwardOf(node.path, () => scope(() => node.backward(this.view, node.kept as Tensor[])));
    }
    for (const tensor of node.kept) tensor?.dispose();
    for (const id of node.outputIds) {
      this.gradients.get(id)?.dispose();
      this.gradients.delete(id);
    }
  }

  private readonly view: Gradients = {
    of: (output) => {
      const gradient = this.gradients.get(typeof output === 'number' ? output : output.id);
      if (!gradient || typeof output === 'number') return gradient;
      return sameShape(gradient, output) ? gradient : gradient.reshape(...output.shape);
    },
    wants: (input) => input?.requiresGrad === true,
    into: (input) => {
      const existing = this.writable(input);
      if (existing)
        return { tensor: sameShape(existing, input) ? existing : existing.reshape(...input.shape), beta: 1 };
      const tensor = unscoped(() => Tensor.empty(input.device, input.shape, gradientDType(input.dtype)));
      this.gradients.set(input.id, tensor);
      return { tensor, beta: 0 };
    },
    add: (input, gradient) => {
      const existing = this.writable(input);
      if (existing) {
        const target = sameShape(existing, gradient) ? existing : existing.reshape(...gradient.shape);
        commands.binary(input.device.recorder, 'add', target, gradient, target);
      } else
        this.keep(
          input,
          unscoped(() => gradient.retain()),
        );
    },
  };

  /** The gradient of an input so far, in memory that nothing else reads: one tensor may be the gradient of several. */
  private writable(input: Tensor): Tensor | undefined {
    const existing = this.gradients.get(input.id);
    if (!existing?.shared) return existing;
    const own = unscoped(() => Tensor.empty(existing.device, existing.shape, existing.dtype));
    commands.copy(existing.device.recorder, existing, own);
    existing.dispose();
    this.gradients.set(input.id, own);
    return own;
  }

  private keep(tensor: Tensor, gradient: Tensor): void {
    if (gradient.elements !== tensor.elements) {
      throw autogradErrors.GRADIENT_SHAPE({ tensor: tensor.describe(), gradient: gradient.describe() });
    }
    this.gradients.set(tensor.id, gradient);
  }
}

function sameShape(a: Tensor, b: Tensor): boolean {
  return a.shape.length === b.shape.length && a.shape.every((n, i) => n === b.shape[i]);
}

function gradientDType(dtype: DType): DType {
  return dtype === 'bf16' || dtype === 'f16' ? dtype : 'f32';
}
