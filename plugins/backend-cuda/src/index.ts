import { definePlugin } from '@largeforge/core';
import { gpuBackend } from '@largeforge/engine';
import { z } from 'zod';

const { inspect, probe, locateLibrary } = gpuBackend('cuda', 'CUDA devices', import.meta.url);

export { locateLibrary };

export default definePlugin({
  name: '@largeforge/backend-cuda',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup(context) {
    context.registries.diagnosis.add('cuda-devices', { load: () => ({ inspect }) });
    context.registries.backend.add('cuda', {
      describe: 'NVIDIA GPUs by CUDA, from compute capability 7.5 (compiled and emulated, not yet run on hardware)',
      // Before the processor, where it works.
      priority: 10,
      probe,
      load: () => ({ id: 'cuda', library: locateLibrary() }),
    });
  },
});
