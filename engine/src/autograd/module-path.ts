/** Where in a model operations are recorded, for messages: the name of a module, and the pass. */
export interface ModulePath {
  readonly module: string;
  readonly backward: boolean;
}

let current: ModulePath = { module: '', backward: false };

/** The module that is at work. */
export function modulePath(): ModulePath {
  return current;
}

/** Runs `fn` as work of a module, by its Hugging Face name: "model.layers.3.self_attn". */
export function inModule<T>(module: string, fn: () => T): T {
  return within({ module, backward: current.backward }, fn);
}

/** Runs `fn` as part of the backward pass of what a module recorded. */
export function inBackwardOf<T>({ module }: ModulePath, fn: () => T): T {
  return within({ module, backward: true }, fn);
}

function within<T>(path: ModulePath, fn: () => T): T {
  const outer = current;
  current = path;
  try {
    return fn();
  } finally {
    current = outer;
  }
}
