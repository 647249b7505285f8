import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Device, openDevice } from './device.js';

const built = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

/** What the emulator stands for: warps of 32 with NVIDIA's matrix unit, or of 64 with AMD's. */
const TARGETS = { cuda: '80', rocm: '90' } as const;

/**
 * The environment in which a GPU backend finds the fake driver, which runs its kernels thread for thread on the processor.
 * A process can emulate one vendor's device.
 */
export function emulatedEnvironment(vendor: 'cuda' | 'rocm'): Record<string, string> {
  return {
    [`LF_${vendor.toUpperCase()}_DRIVER`]: built('engine/build/libfake_gpu_driver.so'),
    LF_EMULATED_TARGET: TARGETS[vendor],
  };
}

/** The backend's library as it ships, but for the device code, which the fake driver has. */
export const emulatedLibrary = (vendor: 'cuda' | 'rocm'): string =>
  built(`plugins/backend-${vendor}/build/liblargeforge_${vendor}_emulated.so`);

/** A device of a GPU backend on the emulator. */
export function emulatedDevice(vendor: 'cuda' | 'rocm'): Device {
  const library = emulatedLibrary(vendor);
  if (!existsSync(library)) throw new Error(`${library} is missing: run "npm test" once, which builds it`);
  Object.assign(process.env, emulatedEnvironment(vendor));
  return openDevice({ library, debug: true });
}
