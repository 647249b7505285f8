import { type DType, dtypeCode } from './dtype.js';
import { Layout, type LayoutKind } from './opcodes.js';

/** What a command needs to know of a tensor (`lf_tensor` in backend.h). Strides are in elements, the offset in bytes. */
export interface Operand {
  readonly buffer: number;
  readonly byteOffset: number;
  readonly dtype: DType;
  readonly layout: LayoutKind;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** Elements that share a scale, of a packed weight whose format leaves it open. */
  readonly group?: number;
}

/**
 * Called when a command begins; what it returns is called when the command is whole and before the next one, and may
 * record commands, of which nobody is told.
 */
export type CommandInspector = (op: number) => (operands: readonly Operand[]) => void;

export interface CallSite {
  /** Of the command in its stream, in bytes. */
  readonly offset: number;
  readonly op: number;
  readonly stack: string;
}

/** Commands that can be submitted again, with other data in their WRITEs. */
export interface CommandStream {
  readonly bytes: Uint8Array;
  /** In the sequence of the commands: the array that was written, and where it lies in `bytes`. */
  readonly writes: readonly StreamWrite[];
}

export interface StreamWrite {
  readonly offset: number;
  readonly data: Uint8Array;
}

const HEADER_WORDS = 4;
const TENSOR_WORDS = 16;
const MAX_RANK = 4;
/** Longest data of one WRITE command. */
export const MAX_INLINE_BYTES = 64 * 1024;

/**
 * Encodes commands one after the other into a buffer that is used again and again. A command is begun with its
 * parameters' number, its parameters are written to `words`, `ints` or `floats` from the index that `begin` returns, and
 * its operands follow in order.
 */
export class CommandRecorder {
  words: Uint32Array<ArrayBuffer>;
  ints: Int32Array<ArrayBuffer>;
  floats: Float32Array<ArrayBuffer>;
  bytes: Uint8Array<ArrayBuffer>;
  /** Words recorded so far. */
  private length = 0;
  /** Where the command that is being encoded begins, and where its next operand goes. */
  private started = 0;
  private cursor = 0;
  /** Told of each command when it is whole; see `inspect`. */
  private inspector: CommandInspector | undefined;
  /** The command that is not whole yet, when there is an inspector. */
  private pending: { readonly done: (operands: readonly Operand[]) => void; readonly operands: Operand[] } | undefined;
  /** The WRITEs since `capture`. */
  private captured: StreamWrite[] | undefined;
  /** Where each command was recorded, when call sites are kept. */
  private sites: CallSite[] | undefined;

  /**
   * @param onFull called between two commands when more than `limit` bytes are recorded; it is expected to submit and
   *   `reset`.
   */
  constructor(
    private readonly onFull: () => void,
    private readonly limit: number,
    keepSites: boolean,
  ) {
    const buffer = new ArrayBuffer(Math.max(limit, 4096) + 8192);
    this.words = new Uint32Array(buffer);
    this.ints = new Int32Array(buffer);
    this.floats = new Float32Array(buffer);
    this.bytes = new Uint8Array(buffer);
    if (keepSites) this.sites = [];
  }

  /** Bytes recorded. */
  get size(): number {
    return this.length * 4;
  }

  /** Begins a command; returns the index of its first parameter. All parameters and operands are zero at first. */
  begin(op: number, params: number, operands: number): number {
    if (this.inspector) this.tell(op);
    if (this.length * 4 > this.limit) this.onFull();
    const paramWords = (params + 3) & ~3;
    const total = HEADER_WORDS + paramWords + operands * TENSOR_WORDS;
    const at = this.length;
    if (at + total > this.words.length) this.grow(at + total);
    const { words } = this;
    words.fill(0, at, at + total);
    words[at] = op;
    words[at + 1] = total * 4;
    words[at + 2] = params;
    words[at + 3] = operands;
    this.sites?.push({ offset: at * 4, op, stack: callSite() });
    this.cursor = at + HEADER_WORDS + paramWords;
    this.started = at;
    this.length = at + total;
    return at + HEADER_WORDS;
  }

  /** Encodes the next operand; undefined is an absent one. */
  operand(tensor: Operand | undefined): void {
    const at = this.cursor;
    this.cursor = at + TENSOR_WORDS;
    if (!tensor) return;
    const { words } = this;
    const { shape, strides, byteOffset } = tensor;
    const rank = shape.length;
    if (this.pending) {
      // The tensor may be disposed before the inspector is told; its memory is as the command left it until the next one.
      const { buffer, dtype, layout } = tensor;
      this.pending.operands.push({ buffer, byteOffset, dtype, layout, shape, strides });
    }
    try {
      words[at] = tensor.buffer;
      if (rank > MAX_RANK)
        throw new RangeError(`a tensor of ${rank} dimensions cannot be an operand; at most ${MAX_RANK}`);
    } catch (error) {
      // Half a command must not run: a disposed tensor is found out here.
      this.length = this.started;
      throw error;
    }
    words[at + 1] = dtypeCode(tensor.dtype) | (Layout[tensor.layout] << 8) | (rank << 16);
    words[at + 2] = byteOffset >>> 0;
    words[at + 3] = Math.floor(byteOffset / 4294967296);
    for (let i = 0; i < rank; i++) {
      words[at + 4 + i] = shape[i]!;
      words[at + 8 + i] = strides[i]!;
    }
    words[at + 12] = tensor.group ?? 0;
  }

  /** Puts the data of a WRITE behind its length, from the word `at` on. */
  inline(data: Uint8Array, at: number): void {
    this.bytes.set(data, at * 4);
    this.captured?.push({ offset: at * 4, data });
  }

  /** Whether an inspector is told of each command. */
  get inspected(): boolean {
    return this.inspector !== undefined;
  }

  /** Notes WRITEs from here on, with nothing recorded yet, until `captureEnd`; nobody may hand commands over meanwhile. */
  capture(): void {
    this.captured = [];
  }

  /** Ends `capture`; gives what was recorded since, if it is wanted. */
  captureEnd(wanted: boolean): CommandStream | undefined {
    const writes = this.captured;
    this.captured = undefined;
    return wanted && writes ? { bytes: this.bytes.slice(0, this.size), writes } : undefined;
  }

  /** Has an inspector told of each command, until it is taken off (undefined). */
  inspect(inspector: CommandInspector | undefined): void {
    if (this.inspector) this.tell(undefined);
    this.inspector = inspector;
  }

  /** Forgets what was recorded; returns the call sites of it, when they are kept. */
  reset(): CallSite[] | undefined {
    this.length = 0;
    const { sites } = this;
    if (sites) this.sites = [];
    return sites;
  }

  /** Tells the inspector that the command before `next` is whole, and that `next` begins. */
  private tell(next: number | undefined): void {
    const { inspector, pending } = this;
    this.pending = undefined;
    this.inspector = undefined;
    pending?.done(pending.operands);
    if (next !== undefined && inspector) this.pending = { done: inspector(next), operands: [] };
    this.inspector = inspector;
  }

  private grow(words: number): void {
    const buffer = new ArrayBuffer(Math.max(words * 4, this.bytes.length * 2));
    const bytes = new Uint8Array(buffer);
    bytes.set(this.bytes.subarray(0, this.length * 4));
    this.bytes = bytes;
    this.words = new Uint32Array(buffer);
    this.ints = new Int32Array(buffer);
    this.floats = new Float32Array(buffer);
  }
}

/** The innermost frames of the stack that lie outside of the encoding itself. */
function callSite(): string {
  const frames = (new Error().stack ?? '').split('\n').slice(1);
  const outside = frames.findIndex((line) => !/[\\/]device[\\/](recorder|commands)/.test(line));
  return frames
    .slice(Math.max(outside, 0), Math.max(outside, 0) + 6)
    .map((line) => line.trim())
    .join('\n      ');
}
