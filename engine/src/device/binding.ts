import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { deviceErrors } from './errors.js';
import type { NativeBackend, NativeBinding } from './native.js';

const require = createRequire(import.meta.url);
// This file lies two folders below the package, in src/ as in dist/.
const built = fileURLToPath(new URL('../../build/binding.node', import.meta.url));

let binding: NativeBinding | undefined;
const backends = new Map<string, NativeBackend>();

/** Name of the package with the prebuilt binding of a platform. */
function prebuiltPackage(): string {
  return `@largeforge/engine-${process.platform}-${process.arch}`;
}

function locate(): string {
  const prebuilt = `${prebuiltPackage()}/binding.node`;
  try {
    return require.resolve(prebuilt);
  } catch {
    if (existsSync(built)) return built;
    throw deviceErrors.BINDING_MISSING({ tried: [prebuilt, built] });
  }
}

/** The native binding: that of the platform's package when it is installed, else the one built in the checkout. */
export function loadBinding(): NativeBinding {
  if (binding) return binding;
  const path = locate();
  try {
    binding = require(path) as NativeBinding;
  } catch (cause) {
    throw deviceErrors.BINDING_BROKEN({ path, reason: (cause as Error).message }, { cause });
  }
  return binding;
}

/** Loads a backend's shared library once per process. */
export function loadBackend(library: string): NativeBackend {
  const known = backends.get(library);
  if (known) return known;
  try {
    const backend = loadBinding().loadBackend(library);
    backends.set(library, backend);
    return backend;
  } catch (cause) {
    if ((cause as { code?: string }).code?.startsWith('LF_ENGINE_')) throw cause;
    throw deviceErrors.BACKEND_UNLOADABLE({ library, reason: (cause as Error).message }, { cause });
  }
}
