import type { Tensor } from './tensor.js';

/** Tensors made inside the innermost open scope. */
let current: Tensor[] | undefined;

/** Makes a new tensor the innermost scope's. */
export function adopt(tensor: Tensor): void {
  current?.push(tensor);
}

/**
 * Runs `fn` and disposes every transient tensor made inside of it, but those that it returns (a tensor, or an array or
 * record of them), which pass to the scope around it. Recording is synchronous, so `fn` must be too.
 */
export function scope<T>(fn: () => T): T {
  const outer = current;
  const mine: Tensor[] = [];
  current = mine;
  let result: T;
  try {
    result = fn();
    if (result instanceof Promise) throw new TypeError('a scope cannot be asynchronous: await outside of it');
  } catch (error) {
    current = outer;
    for (const tensor of mine) tensor.dispose();
    throw error;
  }
  current = outer;
  const kept = new Set<unknown>();
  collect(result, kept, 0);
  for (const tensor of mine) {
    if (kept.has(tensor)) adopt(tensor);
    else tensor.dispose();
  }
  return result;
}

/** Runs `fn` outside of every scope: what it makes is the caller's to dispose. */
export function unscoped<T>(fn: () => T): T {
  const outer = current;
  current = undefined;
  try {
    return fn();
  } finally {
    current = outer;
  }
}

function collect(value: unknown, into: Set<unknown>, depth: number): void {
  if (typeof value !== 'object' || value === null || depth > 3) return;
  if (Symbol.dispose in value) {
    into.add(value);
    return;
  }
  for (const item of value instanceof Map ? value.values() : Object.values(value)) collect(item, into, depth + 1);
}
