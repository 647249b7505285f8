import type { MathKind } from './opcodes.js';

/** The N-API binding, as native/binding/binding.cpp exports it. It knows backend.h and nothing else. */
export interface NativeBinding {
  loadBackend(libraryPath: string): NativeBackend;
}

export interface NativeBackend {
  readonly name: string;
  readonly version: string;
  readonly abi: readonly [major: number, minor: number];
  devices(): DeviceProperties[];
  open(index: number, options: NativeDeviceOptions): NativeDevice;
}

export interface NativeDeviceOptions {
  threads?: number;
  isa?: string;
  memoryLimit?: number;
  urgent?: boolean;
}

export interface DeviceProperties {
  /** As the vendor calls it. */
  readonly name: string;
  /** "cpu", "cuda", "rocm". */
  readonly kind: string;
  /** What kernels will use. */
  readonly isa: string;
  readonly memoryTotal: number;
  readonly memoryFree: number;
  readonly computeUnits: number;
  /** Of buffer offsets, in bytes. */
  readonly alignment: number;
  readonly unifiedMemory: boolean;
  /** Preferred positions per block of a key-value cache. */
  readonly kvBlockSize: number;
  /** In which precision `linear` is fastest with activations of bf16 and a weight packed in a block format. */
  readonly packedMath: MathKind;
}

export interface DeviceMemory {
  readonly total: number;
  readonly free: number;
  readonly allocated: number;
  readonly peak: number;
  readonly mapped: number;
}

export interface NativeDevice {
  properties(): DeviceProperties;
  memory(): DeviceMemory;
  alloc(bytes: number): number;
  mapFile(path: string, offset: number, bytes: number): number;
  free(handle: number): void;
  size(handle: number): number;
  /** Null when the encoded command can run, else the reason why not. */
  supports(command: Uint8Array): string | null;
  packedSize(dtype: number, layout: number, n: number, k: number, group: number): number;
  /** Copies the stream and returns at once. */
  submit(stream: Uint8Array, bytes: number): void;
  /** `source` is kept alive, and must not change, until the next flush resolves. */
  write(handle: number, offset: number, source: Uint8Array): void;
  read(handle: number, offset: number, destination: Uint8Array): void;
  flush(): Promise<void>;
  profile(): string;
  close(): void;
}
