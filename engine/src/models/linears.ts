import type { Linear } from '../nn/linear.js';

/** The linear layers of a model by their module names, in order. */
export type ModelLinears = ReadonlyMap<string, Linear>;
