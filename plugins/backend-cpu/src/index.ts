import { definePlugin, isLargeForgeError, type Probe } from '@largeforge/core';
import { z } from 'zod';
import { locateLibrary } from './library.js';
import { rooflineCommand } from './roofline/command.js';

export { locateLibrary };

/** Whether the library is there, loads, and has kernels that this processor runs. */
async function probe(): Promise<Probe> {
  try {
    const { loadBackend } = await import('@largeforge/engine');
    loadBackend(locateLibrary()).devices();
    return { ok: true };
  } catch (error) {
    const reason = (error as Error).message;
    return { ok: false, reason: isLargeForgeError(error) ? `${reason}. ${error.remedy}` : reason };
  }
}

export default definePlugin({
  name: '@largeforge/backend-cpu',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup(context) {
    context.registries.diagnosis.add('cpu-kernels', {
      load: async () => (await import('./kernel-level.js')).kernelLevel,
    });
    context.commands.add(rooflineCommand);
    context.registries.backend.add('cpu', {
      describe: 'The processor: AVX-512, AVX2 or portable kernels, whichever it runs',
      probe,
      load: () => ({ id: 'cpu', library: locateLibrary() }),
    });
  },
});
