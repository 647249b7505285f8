export type { Allocation } from './arena.js';
export { backendDevices, locateBackendLibrary } from './backend-library.js';
export { loadBackend, loadBinding } from './binding.js';
export type { AdamWParams, AttentionParams, CrossEntropyParams, QuantizeGrid, RandomKey } from './commands/index.js';
export * as commands from './commands/index.js';
export { Device, type DeviceSpec, type DeviceStats, type Lifetime, openDevice } from './device.js';
export { byteLength, type DType, dtypeCode, elementBytes, type FloatDType, isBlockFormat } from './dtype.js';
export { type GpuBackend, gpuBackend } from './gpu-backend.js';
export type { DeviceMemory, DeviceProperties, NativeBackend, NativeBinding, NativeDevice } from './native.js';
export {
  type BinaryKind,
  type LayoutKind,
  type MathKind,
  Op,
  opName,
  type RandomKind,
  type ReduceKind,
  type UnaryKind,
} from './opcodes.js';
export { type CallSite, CommandRecorder, type CommandStream, MAX_INLINE_BYTES, type Operand } from './recorder.js';
