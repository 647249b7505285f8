import { type Allocation, Arena, PersistentArena, type SlabSource } from './arena.js';
import { loadBackend } from './binding.js';
import * as commands from './commands/index.js';
import { type DType, dtypeCode } from './dtype.js';
import { deviceErrors } from './errors.js';
import { backendError } from './kernel-error.js';
import type { DeviceMemory, DeviceProperties, NativeDevice } from './native.js';
import { Layout, type LayoutKind } from './opcodes.js';
import { type CallSite, CommandRecorder, type CommandStream, MAX_INLINE_BYTES, type Operand } from './recorder.js';

export interface DeviceSpec {
  /** Path of the backend's shared library. */
  library: string;
  /** Which of the backend's devices; 0 unless given. */
  index?: number;
  /** Threads of a CPU backend; chosen by the backend unless given. */
  threads?: number;
  /** Forces an instruction set level of a CPU backend. */
  isa?: string;
  /** Bytes; an allocation beyond it fails. */
  memoryLimit?: number;
  /**
   * For short work that is waited for: a CPU backend's threads, and the one that opens it, ask the system to run soon after
   * they wake.
   */
  urgent?: boolean;
  /** Keeps where each command was recorded, for error messages. On when LARGEFORGE_DEBUG is set. */
  debug?: boolean;
}

/** How long memory is held: `transient` is for one step, `persistent` for weights and state. */
export type Lifetime = 'transient' | 'persistent';

export interface DeviceStats {
  /** Tensors not yet disposed. */
  readonly liveTensors: number;
  /** Allocations of transient tensors so far. */
  readonly allocations: number;
  /** Buffers taken from the backend so far: constant over steps in a steady state. */
  readonly deviceAllocations: number;
  readonly transientBytes: number;
  readonly peakTransientBytes: number;
  /** Held by the arenas of transient tensors, used or not. */
  readonly reservedBytes: number;
  readonly persistentBytes: number;
  readonly submits: number;
  readonly flushes: number;
}

/** Commands are handed to the backend while more are recorded once this many bytes have come together. */
const SUBMIT_BYTES = 32 * 1024;

/** Opens a device of a backend library. Throws LF_ENGINE_BACKEND_UNLOADABLE or LF_ENGINE_DEVICE_UNAVAILABLE. */
export function openDevice(spec: DeviceSpec): Device {
  const backend = loadBackend(spec.library);
  const index = spec.index ?? 0;
  const { threads, isa, memoryLimit, urgent } = spec;
  let native: NativeDevice;
  try {
    native = backend.open(index, {
      ...(threads !== undefined && { threads }),
      ...(isa !== undefined && { isa }),
      ...(memoryLimit !== undefined && { memoryLimit }),
      ...(urgent !== undefined && { urgent }),
    });
  } catch (cause) {
    throw deviceErrors.DEVICE_UNAVAILABLE(
      { backend: backend.name, index, reason: (cause as Error).message },
      { cause },
    );
  }
  return new Device(native, spec.debug ?? Boolean(process.env.LARGEFORGE_DEBUG));
}

/**
 * A device and its one in-order queue. Commands are recorded (see `commands`), handed over in bulk, and awaited with
 * `flush`. Memory comes from arenas: what is freed may be used by commands recorded later, because the queue is in order.
 */
export class Device implements Disposable {
  readonly properties: DeviceProperties;
  readonly recorder: CommandRecorder;
  private transient: Arena;
  private readonly persistent: PersistentArena;
  private closed = false;
  private deviceAllocations = 0;
  private submits = 0;
  private flushes = 0;
  private live = 0;
  /** Whether what was recorded waits for a call of `submit`, however much it is. */
  private held = false;
  private revisions = 0;
  /** Whether what is being captured does the same when it is submitted again. */
  private repeatable = false;
  /** Of transient tensors, and those of streams that are repeated. */
  private readonly arenas = new Set<Arena>();
  private readonly source: SlabSource = {
    alloc: (bytes) => this.nativeAlloc(bytes),
    free: (buffer) => this.nativeFree(buffer),
  };
  /** Call sites of what was submitted since the last flush, when they are kept. */
  private submitted: CallSite[][] = [];

  constructor(
    private readonly native: NativeDevice,
    readonly debug = false,
  ) {
    this.properties = native.properties();
    this.transient = this.openArena();
    this.persistent = new PersistentArena(this.source);
    // With call sites, one stream a flush keeps the offset in an error unambiguous.
    this.recorder = new CommandRecorder(() => this.submitUnlessHeld(), debug ? 16 * 2 ** 20 : SUBMIT_BYTES, debug);
  }

  allocate(bytes: number, lifetime: Lifetime = 'transient'): Allocation {
    if (this.closed) throw deviceErrors.DEVICE_CLOSED();
    if (lifetime === 'transient') return this.transient.allocate(bytes);
    this.revise();
    const own = this.persistent.allocate(bytes);
    const free = () => {
      this.revise();
      own.free();
    };
    return { buffer: own.buffer, byteOffset: own.byteOffset, bytes: own.bytes, free };
  }

  /** A read-only buffer over a range of a file. Throws the backend's LF_BACKEND_IO when it cannot be mapped. */
  mapFile(path: string, offset: number, bytes: number): Allocation {
    if (this.closed) throw deviceErrors.DEVICE_CLOSED();
    this.revise();
    let buffer: number;
    try {
      buffer = this.native.mapFile(path, offset, bytes);
    } catch (error) {
      throw backendError(error);
    }
    return { buffer, byteOffset: 0, bytes, free: () => this.nativeFree(buffer) };
  }

  /** Whether the backend keeps a weight of this precision in a layout. */
  packs(dtype: DType, layout: LayoutKind, n: number, k: number, group = 0): boolean {
    try {
      this.packedBytes(dtype, layout, n, k, group);
      return true;
    } catch {
      return false;
    }
  }

  /** Bytes of a weight [n, k] in a packed layout. */
  packedBytes(dtype: DType, layout: LayoutKind, n: number, k: number, group = 0): number {
    try {
      return this.native.packedSize(dtypeCode(dtype), Layout[layout], n, k, group);
    } catch (error) {
      throw backendError(error);
    }
  }

  /** Why the one command that `record` records cannot run here; undefined when it can. */
  unsupported(record: (recorder: CommandRecorder) => void): string | undefined {
    const recorder = new CommandRecorder(() => {}, 4096, false);
    record(recorder);
    return this.native.supports(recorder.bytes.subarray(0, recorder.size)) ?? undefined;
  }

  /**
   * Copies host data to a contiguous tensor. Small data travels in the command stream; larger data is copied aside, so
   * that the caller may change it at once.
   */
  write(target: Operand, data: Uint8Array): void {
    if (data.length <= MAX_INLINE_BYTES) {
      commands.write(this.recorder, data, target);
      return;
    }
    this.unrepeatable();
    this.submit();
    this.attempt(() => this.native.write(target.buffer, target.byteOffset, data.slice()));
  }

  /** Copies bytes of a contiguous tensor to the host; resolves when the copy and everything before it is done. */
  async read(source: Operand, bytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const destination = new Uint8Array(bytes);
    this.submit();
    if (bytes > 0) this.attempt(() => this.native.read(source.buffer, source.byteOffset, destination));
    await this.flush();
    return destination;
  }

  /** Hands what was recorded to the backend, which begins to run it. */
  submit(): void {
    if (this.closed) throw deviceErrors.DEVICE_CLOSED();
    const { recorder } = this;
    const bytes = recorder.size;
    if (bytes === 0) return;
    this.submits++;
    try {
      this.attempt(() => this.native.submit(recorder.bytes, bytes));
    } finally {
      const sites = recorder.reset();
      if (sites) this.submitted.push(sites);
    }
  }

  /**
   * Grows with all that may change which commands a computation is, or what they name: tensors that outlive a step come or go,
   * or `revise` was called. A captured stream is good for as long as it stays.
   */
  get revision(): number {
    return this.revisions;
  }

  /** To be called when computations are made of other commands from now on. */
  revise(): void {
    this.revisions++;
  }

  /** Whether streams can be captured now: not while somebody is told of each command. */
  get captures(): boolean {
    return !this.debug && !this.recorder.inspected;
  }

  /** To be called while commands are recorded by whoever does more than that: the stream is not captured then. */
  unrepeatable(): void {
    this.repeatable = false;
  }

  /** Memory for streams that are captured; `closeArena` gives it back. */
  openArena(): Arena {
    const arena = new Arena(this.source);
    this.arenas.add(arena);
    return arena;
  }

  /** Gives the memory back, in which nothing lives any more. */
  closeArena(arena: Arena): void {
    this.arenas.delete(arena);
    arena.trim();
  }

  /**
   * Runs `record`, whose transient tensors come out of `memory`, which captured streams alone use. The stream of what it recorded
   * may be submitted again by `repeat`, and then does the same with the data that its WRITEs have by then: as long as
   * `revision` stays, and whatever lies in `memory` is not needed any more. It is undefined where `record` did more than
   * record commands. Nothing is submitted yet.
   */
  capture<T>(memory: Arena, record: () => T): { readonly result: T; readonly stream: CommandStream | undefined } {
    this.submit();
    const { transient, recorder, revision, held } = this;
    this.transient = memory;
    this.held = true;
    this.repeatable = this.captures;
    recorder.capture();
    let stream: CommandStream | undefined;
    let result: T;
    try {
      result = record();
    } finally {
      this.transient = transient;
      this.held = held;
      stream = recorder.captureEnd(this.repeatable && this.revision === revision);
    }
    return { result, stream };
  }

  /** Submits a captured stream. */
  repeat({ bytes }: CommandStream): void {
    this.submit();
    this.submits++;
    this.attempt(() => this.native.submit(bytes, bytes.length));
  }

  /** From here on nothing is submitted for the amount of it alone, until this is called with false; `submit` itself still does. */
  hold(on: boolean): void {
    this.held = on;
  }

  private submitUnlessHeld(): void {
    if (!this.held) this.submit();
  }

  /** Submits and waits until everything recorded so far has run. Rejects with the error of the command that failed. */
  async flush(): Promise<void> {
    this.submit();
    this.flushes++;
    const sites = this.submitted;
    this.submitted = [];
    try {
      await this.native.flush();
    } catch (error) {
      throw backendError(error, sites);
    }
  }

  /** Gives memory that no tensor uses back to the backend. Returns the bytes. */
  trim(): number {
    return [...this.arenas, this.persistent].reduce((bytes, arena) => bytes + arena.trim(), 0);
  }

  memory(): DeviceMemory {
    return this.native.memory();
  }

  /** Bytes in use: of a GPU all that its driver counts, others' included; of the processor's memory, what this device holds. */
  memoryUsed(): number {
    const { total, free, allocated } = this.native.memory();
    return this.properties.unifiedMemory ? allocated : total - free;
  }

  stats(): DeviceStats {
    const { counters } = this.transient;
    const all = (counter: 'allocations' | 'bytesReserved') =>
      [...this.arenas].reduce((sum, { counters }) => sum + counters[counter], 0);
    return {
      liveTensors: this.live,
      allocations: all('allocations'),
      deviceAllocations: this.deviceAllocations,
      transientBytes: counters.bytesInUse,
      peakTransientBytes: counters.peakBytes,
      reservedBytes: all('bytesReserved'),
      persistentBytes: this.persistent.bytesInUse,
      submits: this.submits,
      flushes: this.flushes,
    };
  }

  /** Starts a new measurement of the peak of transient memory. */
  resetPeak(): void {
    const { counters } = this.transient;
    counters.peakBytes = counters.bytesInUse;
  }

  /** Kernel timings since the last call, when LF_PROFILE is set: op, calls, ns, flops, bytes. */
  profile(): { op: number; calls: number; ns: number; flops: number; bytes: number }[] {
    return JSON.parse(this.native.profile());
  }

  /** Counts a tensor that was made (1) or disposed (-1). */
  count(change: 1 | -1): void {
    this.live += change;
  }

  /** Waits for queued work and frees everything. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private nativeAlloc(bytes: number): number {
    this.deviceAllocations++;
    try {
      return this.native.alloc(bytes);
    } catch (error) {
      // Free slabs may be of the wrong size for what is needed: give them back and try once more.
      if (this.trim() > 0) {
        try {
          return this.native.alloc(bytes);
        } catch {}
      }
      if ((error as { code?: string }).code !== 'LF_BACKEND_OUT_OF_MEMORY') throw backendError(error);
      const { transientBytes, persistentBytes, reservedBytes } = this.stats();
      throw deviceErrors.OUT_OF_MEMORY(
        {
          requested: bytes,
          inUse: transientBytes + persistentBytes,
          reserved: reservedBytes + persistentBytes,
          free: this.memory().free,
        },
        { cause: error },
      );
    }
  }

  private nativeFree(buffer: number): void {
    if (this.closed) return;
    this.revise();
    // Recorded commands may still name the buffer.
    this.submit();
    this.attempt(() => this.native.free(buffer));
  }

  private attempt(call: () => void): void {
    try {
      call();
    } catch (error) {
      throw backendError(error);
    }
  }
}
