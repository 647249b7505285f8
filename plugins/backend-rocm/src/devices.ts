import type { Diagnosis, Finding } from '@largeforge/core';
import { backendDevices, type DeviceProperties } from '@largeforge/engine';
import { locateLibrary } from './library.js';

/** What `largeforge doctor` tells of AMD's devices: which there are, or exactly what keeps them from being used. */
export const devices: Diagnosis = {
  inspect: () => describeDevices(backendDevices(locateLibrary)),
};

/** No device is no problem: `backend: auto` goes on with the processor. */
export function describeDevices(found: { devices: readonly DeviceProperties[]; reason?: string }): Finding {
  const label = 'ROCm devices';
  if (found.reason !== undefined) {
    return { label, lines: [`none can be used: ${found.reason}`], facts: { devices: [], reason: found.reason } };
  }
  return {
    label,
    lines: found.devices.map(
      ({ name, isa, computeUnits, memoryTotal }, index) =>
        `${index}: ${name}, ${isa}, ${computeUnits} multiprocessors, ${(memoryTotal / 2 ** 30).toFixed(1)} GiB`,
    ),
    facts: { devices: found.devices },
  };
}
