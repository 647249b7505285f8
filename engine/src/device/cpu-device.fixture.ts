import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Device, type DeviceSpec, openDevice } from './device.js';

const library = fileURLToPath(new URL('../../../plugins/backend-cpu/build/liblargeforge_cpu.so', import.meta.url));

/** A device of the CPU backend built in this checkout. */
export function cpuDevice(options: Omit<DeviceSpec, 'library'> = {}): Device {
  if (!existsSync(library)) throw new Error(`${library} is missing: run "npm run build" first`);
  return openDevice({ library, debug: true, ...options });
}
