import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import type { Plugin } from '@largeforge/core';
import { type PluginTest, testPlugin } from '@largeforge/core/testing';
import evaluate from './index.js';

/** A base model of two million parameters that comes with the repository. */
export const tinyBase = fileURLToPath(new URL('../../../examples/quickstart/base', import.meta.url));

/** The evaluators on the CPU backend, in a folder for the files of a test. */
export class Evaluation {
  private constructor(readonly test: PluginTest) {}

  static async start(...plugins: Plugin[]): Promise<Evaluation> {
    return new Evaluation(
      await testPlugin(evaluate, {
        plugins: [backendCpu, ...plugins],
        config: { backend: { name: 'cpu', threads: 2 } },
      }),
    );
  }

  /** A text, or rows of a .jsonl file; returns where it lies. */
  write(name: string, content: string | readonly unknown[]): string {
    const file = join(this.test.folder, name);
    const text = typeof content === 'string' ? content : content.map((row) => `${JSON.stringify(row)}\n`).join('');
    writeFileSync(file, text);
    return file;
  }

  /** Runs one step; resolves with its outputs. */
  run(use: string, options: Record<string, unknown>): Promise<Readonly<Record<string, unknown>>> {
    return this.test.runStep({ stage: 'evaluate', use, with: options });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.test.dispose();
  }
}
