import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { defineErrors } from '@largeforge/core';

const require = createRequire(import.meta.url);

const errors = defineErrors({
  LF_BACKEND_CPU_MISSING: {
    message: ({ tried }: { tried: readonly string[] }) =>
      `a native file of the CPU backend was not found (looked for ${tried.join(', ')})`,
    remedy: () =>
      'In a checkout, build it with "npm run build" (needs a C++ compiler). From npm, install the package for this platform; it is an optional dependency, which "npm install --omit=optional" leaves out.',
  },
});

/** What the backend's shared library is called on this platform. */
const fileName = `liblargeforge_cpu.${process.platform === 'darwin' ? 'dylib' : 'so'}`;

/**
 * Path of the backend's shared library: that of the platform's package when it is installed, else the one built in the
 * checkout. Throws LF_BACKEND_CPU_MISSING.
 */
export const locateLibrary = (): string => locate(fileName);

/** Path of a program that is built with the library. Throws as `locateLibrary` does. */
export const locateProgram = (name: string): string => locate(name);

function locate(name: string): string {
  const prebuilt = `@largeforge/backend-cpu-${process.platform}-${process.arch}/${name}`;
  // This file lies one folder below the package, in src/ as in dist/.
  const built = fileURLToPath(new URL(`../build/${name}`, import.meta.url));
  try {
    return require.resolve(prebuilt);
  } catch {
    if (existsSync(built)) return built;
    throw errors.LF_BACKEND_CPU_MISSING({ tried: [prebuilt, built] });
  }
}
