import { definePlugin, type Probe } from '@largeforge/core';
import { z } from 'zod';
import { locateLibrary } from './library.js';

export { locateLibrary };

/** Whether the library, the driver and a device that the kernels were compiled for are there. */
async function probe(): Promise<Probe> {
  const { backendDevices } = await import('@largeforge/engine');
  const { reason } = backendDevices(locateLibrary);
  return reason === undefined ? { ok: true } : { ok: false, reason };
}

export default definePlugin({
  name: '@largeforge/backend-cuda',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup(context) {
    context.registries.diagnosis.add('cuda-devices', {
      load: async () => (await import('./devices.js')).devices,
    });
    context.registries.backend.add('cuda', {
      describe: 'NVIDIA GPUs by CUDA, from compute capability 7.5 (compiled and emulated, not yet run on hardware)',
      // Before the processor, where it works.
      priority: 10,
      probe,
      load: () => ({ id: 'cuda', library: locateLibrary() }),
    });
  },
});
