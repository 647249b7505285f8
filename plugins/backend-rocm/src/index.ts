import { definePlugin } from '@largeforge/core';
import { gpuBackend } from '@largeforge/engine';
import { z } from 'zod';

const { inspect, probe, locateLibrary } = gpuBackend('rocm', 'ROCm devices', import.meta.url);

export { locateLibrary };

export default definePlugin({
  name: '@largeforge/backend-rocm',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup(context) {
    context.registries.diagnosis.add('rocm-devices', { load: () => ({ inspect }) });
    context.registries.backend.add('rocm', {
      describe: 'AMD GPUs by ROCm (compiled and emulated, not yet run on hardware)',
      // Before the processor, where it works.
      priority: 10,
      probe,
      load: () => ({ id: 'rocm', library: locateLibrary() }),
    });
  },
});
