import { type Diagnosis, type Finding, isLargeForgeError, reasonOf } from '@largeforge/core';
import { locateLibrary } from './library.js';

/** What `largeforge doctor` tells of the kernels: which level would run, and why that one. */
export const kernelLevel: Diagnosis = {
  async inspect(environment) {
    const { loadBackend } = await import('@largeforge/engine');
    return describeLevel(environment.LF_CPU_ISA, () => loadBackend(locateLibrary()).devices()[0]!.isa);
  },
};

/**
 * @param wanted value of LF_CPU_ISA
 * @param chosen the level that the library chooses; throws when there is none
 */
export function describeLevel(wanted: string | undefined, chosen: () => string): Finding {
  const label = 'CPU kernels';
  try {
    const level = chosen();
    const why = wanted
      ? 'LF_CPU_ISA asks for it'
      : 'the best of those that were built and that this processor runs; LF_CPU_ISA chooses another';
    return { label, lines: [`${level}: ${why}`], facts: { level, ...(wanted && { wanted }) } };
  } catch (error) {
    const reason = reasonOf(error);
    const remedy = wanted
      ? 'unset LF_CPU_ISA, or set it to a level that is named above'
      : isLargeForgeError(error)
        ? error.remedy
        : 'build the library again with "npm run build"';
    return {
      label,
      lines: [`none: ${reason}`],
      facts: { reason, ...(wanted && { wanted }) },
      problems: [{ what: 'the CPU backend has no kernels to run', remedy }],
    };
  }
}
