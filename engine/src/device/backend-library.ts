import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { EngineError } from '../errors.js';
import { loadBackend } from './binding.js';
import { deviceErrors } from './errors.js';
import type { DeviceProperties } from './native.js';

/**
 * Path of a backend plugin's shared library: that of the platform's package when it is installed, else the one built in
 * the checkout. Throws LF_ENGINE_BACKEND_MISSING.
 *
 * @param name of the plugin, such as `backend-cuda`
 * @param module URL of a module one folder below the plugin's package, in src/ as in dist/
 */
export function locateBackendLibrary(name: string, module: string): string {
  const file = `liblargeforge_${name.replace('backend-', '')}.so`;
  const prebuilt = `@largeforge/${name}-${process.platform}-${process.arch}/${file}`;
  const built = fileURLToPath(new URL(`../build/${file}`, module));
  try {
    return createRequire(module).resolve(prebuilt);
  } catch {
    if (existsSync(built)) return built;
    throw deviceErrors.BACKEND_MISSING({ name, tried: [prebuilt, built] });
  }
}

/** The devices that a backend's library can use; `reason` says why there are none, and what to do. */
export function backendDevices(locate: () => string): { devices: DeviceProperties[]; reason?: string } {
  try {
    const devices = loadBackend(locate()).devices();
    return devices.length > 0 ? { devices } : { devices, reason: 'the driver knows no device' };
  } catch (error) {
    const reason = (error as Error).message;
    return { devices: [], reason: error instanceof EngineError ? `${reason}. ${error.remedy}` : reason };
  }
}
