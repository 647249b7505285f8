import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import type { Plugin } from '@largeforge/core';
import { type PluginTest, testPlugin } from '@largeforge/core/testing';
import quantize from './index.js';

/** A base model of two million parameters that comes with the repository. */
export const tinyBase = fileURLToPath(new URL('../../../examples/quickstart/base', import.meta.url));

/** Text enough for some windows: sentences of which no two are the same. */
const SENTENCES = Array.from(
  { length: 400 },
  (_, i) =>
    `Please set a timer for ${i} minutes and put ${['milk', 'bread', 'tea'][i % 3]} number ${i * 7} on the list.`,
).join(' ');

/** Quantisers on the CPU backend, in a folder for the files of a test. */
export class Quantizing {
  private constructor(readonly test: PluginTest) {}

  static async start(...plugins: Plugin[]): Promise<Quantizing> {
    const config = { backend: { name: 'cpu', threads: 2 } };
    return new Quantizing(await testPlugin(quantize, { plugins: [backendCpu, ...plugins], config }));
  }

  path(name: string): string {
    return join(this.test.folder, name);
  }

  write(name: string, content: string): string {
    writeFileSync(this.path(name), content);
    return this.path(name);
  }

  /** Runs a quantiser on the tiny base; options beside those of a small calibration run. */
  run(use: string, options: Record<string, unknown> = {}): Promise<Readonly<Record<string, unknown>>> {
    const shared = {
      model: tinyBase,
      calibration: this.write('calibration.txt', SENTENCES),
      outputDir: this.path('out'),
    };
    return this.test.runStep({
      stage: 'optimize',
      use,
      with: { ...shared, samples: 8, sequenceLength: 64, dtype: 'f32', ...options },
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.test.dispose();
  }
}
