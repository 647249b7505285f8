import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import type { Plugin } from '@largeforge/core';
import { type PluginTest, testPlugin } from '@largeforge/core/testing';
import { readSafetensors } from '@largeforge/engine';
import merge from './index.js';

const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url));

/** A tiny model, adapter or file of `fixtures/`. */
export const fixture = (name: string): string => join(fixtures, name);

/** Values of a tensor of a safetensors file, f32. */
export function tensorOf(file: string, name: string): Float32Array {
  const { offset, bytes } = readSafetensors(file).tensors.get(name)!;
  const content = readFileSync(file).subarray(offset, offset + bytes);
  return new Float32Array(content.buffer.slice(content.byteOffset, content.byteOffset + bytes));
}

/** Largest difference of two lists, as a share of the largest value. */
export function difference(own: Float32Array, expected: Float32Array): number {
  let [largest, off] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]!));
    off = Math.max(off, Math.abs(own[i]! - expected[i]!));
  }
  return own.length === expected.length ? off / largest : Number.NaN;
}

/** Merging on the CPU backend, in a folder for the files of a test. */
export class Merging {
  private constructor(readonly test: PluginTest) {}

  static async start(...plugins: Plugin[]): Promise<Merging> {
    return new Merging(
      await testPlugin(merge, { plugins: [backendCpu, ...plugins], config: { backend: { name: 'cpu', threads: 2 } } }),
    );
  }

  path(name: string): string {
    return join(this.test.folder, name);
  }

  run(use: string, options: Record<string, unknown>): Promise<Readonly<Record<string, unknown>>> {
    return this.test.runStep({
      stage: 'optimize',
      use,
      with: { outputDir: this.path('merged'), dtype: 'f32', seed: 7, ...options },
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.test.dispose();
  }
}
