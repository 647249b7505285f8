import { backendDevices, locateBackendLibrary } from './backend-library.js';
import type { DeviceProperties } from './native.js';

/** What `largeforge doctor` tells of a vendor's devices, in the shape of a finding of the kernel. */
export interface GpuFinding {
  readonly label: string;
  readonly lines: readonly string[];
  readonly facts: Readonly<Record<string, unknown>>;
}

/** What a plugin of a GPU backend registers: the two vendors' differ in their names alone. */
export interface GpuBackend {
  /** Path of the shared library: the platform's package, else the one built in the checkout. */
  locateLibrary(): string;
  /** Whether the library, the driver and a device that the kernels were compiled for are there. */
  probe(): Promise<{ ok: true } | { ok: false; reason: string }>;
  /** Which devices there are, with their memory now, or exactly what keeps them from being used. */
  inspect(): GpuFinding;
}

/**
 * @param vendor as the library's name has it
 * @param label of the line of `largeforge doctor`
 * @param module URL of a module one folder below the plugin's package
 */
export function gpuBackend(vendor: 'cuda' | 'rocm', label: string, module: string): GpuBackend {
  const locateLibrary = () => locateBackendLibrary(`backend-${vendor}`, module);
  return {
    locateLibrary,
    probe: async () => {
      const { reason } = backendDevices(locateLibrary);
      return reason === undefined ? { ok: true } : { ok: false, reason };
    },
    inspect: () => describeDevices(label, backendDevices(locateLibrary)),
  };
}

const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(1);

/** No device is no problem: `backend: auto` goes on with the processor. */
export function describeDevices(
  label: string,
  found: { devices: readonly DeviceProperties[]; reason?: string },
): GpuFinding {
  if (found.reason !== undefined) {
    return { label, lines: [`none can be used: ${found.reason}`], facts: { devices: [], reason: found.reason } };
  }
  return {
    label,
    lines: found.devices.map(
      ({ name, isa, computeUnits, memoryFree, memoryTotal }, index) =>
        `${index}: ${name}, ${isa}, ${computeUnits} multiprocessors, ${gib(memoryFree)} of ${gib(memoryTotal)} GiB free`,
    ),
    facts: { devices: found.devices },
  };
}
