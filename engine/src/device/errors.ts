import { defineEngineErrors } from '../errors.js';

export const deviceErrors = defineEngineErrors({
  BINDING_MISSING: {
    message: ({ tried }: { tried: readonly string[] }) =>
      `the native part of the engine was not found (looked for ${tried.join(', ')})`,
    remedy: () =>
      'In a checkout, build it with "npm run build" (needs a C++ compiler). From npm, install the package for this platform; it is an optional dependency, which "npm install --omit=optional" leaves out.',
  },
  BINDING_BROKEN: {
    message: ({ path, reason }: { path: string; reason: string }) => `${path} cannot be loaded: ${reason}`,
    remedy: () => 'It was probably built for another platform or Node.js version. Build it again with "npm run build".',
  },
  BACKEND_UNLOADABLE: {
    message: ({ library, reason }: { library: string; reason: string }) =>
      `the compute backend ${library} cannot be loaded: ${reason}`,
    remedy: () =>
      'In a checkout, build it with "npm run build". Else install its package again, or choose another backend.',
  },
  BACKEND_MISSING: {
    message: ({ name, tried }: { name: string; tried: readonly string[] }) =>
      `the native library of ${name} was not found (looked for ${tried.join(', ')})`,
    remedy: () =>
      'In a checkout, build it with "npm run build" (Linux). From npm, install the package for this platform; it is an optional dependency, which "npm install --omit=optional" leaves out.',
  },
  DEVICE_UNAVAILABLE: {
    message: ({ backend, index, reason }: { backend: string; index: number; reason: string }) =>
      `device ${index} of backend ${backend} cannot be opened: ${reason}`,
    remedy: () =>
      'Check the index, the isa and the thread count, or choose another backend ("largeforge doctor" lists them).',
  },
  DEVICE_GROUP: {
    message: ({ kind, ways, reason }: { kind: string; ways: number; reason: string }) =>
      `${ways} ${kind} devices cannot work on one model: ${reason}`,
    remedy: () => 'Mend what the message names, or run the model on one device.',
  },
  DEVICE_CLOSED: {
    message: () => 'the device is closed',
    remedy: () => 'Close a device only after everything that uses it has ended.',
  },
  OUT_OF_MEMORY: {
    message: ({
      requested,
      inUse,
      reserved,
      free,
    }: {
      requested: number;
      inUse: number;
      reserved: number;
      free: number;
    }) =>
      `the device has no memory for ${megabytes(requested)} more: tensors hold ${megabytes(inUse)} of the ${megabytes(reserved)} reserved, ${megabytes(free)} are free on the device`,
    remedy: () =>
      'Use a smaller batch or sequence length, turn on gradient checkpointing, use LoRA or bf16, or raise the memory limit.',
  },
  TENSOR_DISPOSED: {
    message: ({ tensor }: { tensor: string }) => `${tensor} was used after it had been disposed`,
    remedy: () => 'Keep a tensor that outlives its scope by returning it from the scope, or retain() it.',
  },
  SHAPE: {
    message: ({ operation, reason }: { operation: string; reason: string }) => `${operation}: ${reason}`,
    remedy: () => 'Check the shapes and data types of the tensors given.',
  },
});

function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
