import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { definePlugin, type Plugin } from '../application/context.js';
import { defineStepRunner, type StepContext } from '../lifecycle/step-runner.js';

/** What the toy plugin does, and what it was seen doing. */
export interface Toy {
  readonly plugin: Plugin;
  /** Names of steps, in the order in which they ran; a resumed one with `+`. */
  readonly ran: string[];
  /** Hooks as they were fired. */
  readonly hooks: string[];
  /** What a training does instead of finishing at once. */
  during: (context: StepContext<'train'>) => unknown;
}

/**
 * Trainer `copy` writes its text and the content of its inputs into a file, evaluator `length` measures it, optimizer
 * `double` doubles it, server `wait` runs until it is told to stop.
 */
export function makeToy(version = '1.0.0'): Toy {
  const toy: Toy = { plugin: undefined as unknown as Plugin, ran: [], hooks: [], during: () => {} };
  const note = (context: { name: string; resume: boolean }) =>
    void toy.ran.push(context.name + (context.resume ? '+' : ''));
  const plugin = definePlugin({
    name: 'toy',
    version,
    apiVersion: 1,
    options: z.strictObject({ minimum: z.number().optional() }),
    setup({ hooks, registries }, options) {
      for (const [stage, names] of Object.entries(hooks)) {
        for (const [name, hook] of Object.entries(names)) {
          (hook as { tap(fn: () => undefined): void }).tap(() => void toy.hooks.push(`${stage}.${name}`));
        }
      }
      hooks.evaluate.gate.tap(({ outputs }) =>
        options.minimum !== undefined && Number(outputs.length) < options.minimum
          ? { reason: `a length of ${String(outputs.length)} is below ${options.minimum}`, remedy: 'Write more.' }
          : undefined,
      );
      registries.trainer.add('copy', {
        describe: 'copies a text',
        load: () =>
          defineStepRunner('train', {
            options: z.strictObject({
              text: z.string(),
              data: z.array(z.string()).default([]),
              times: z.int().positive().default(1),
            }),
            inputs: ({ data }) => ({ paths: data }),
            outputs: ['file', 'size', 'details'],
            check(context, { data }) {
              for (const path of data) {
                if (!context.comesLater(path) && !existsSync(context.resolvePath(path))) throw new Error(`no ${path}`);
              }
            },
            async run(context, { text, data, times }) {
              note(context);
              await toy.during(context);
              const parts = data.map((path) => readFileSync(context.resolvePath(path), 'utf8'));
              const content = [text, ...parts].join('|').repeat(times);
              const file = join(context.outputDir, 'copy.txt');
              writeFileSync(file, content);
              return { file, size: content.length, details: { words: content.split(' ') } };
            },
          }),
      });
      registries.evaluator.add('length', {
        load: () =>
          defineStepRunner('evaluate', {
            options: z.strictObject({ file: z.string(), expected: z.number().optional() }),
            inputs: ({ file }) => ({ paths: [file] }),
            async run(context, { file }) {
              note(context);
              return { length: existsSync(file) ? readFileSync(file, 'utf8').length : 0 };
            },
          }),
      });
      registries.optimizer.add('double', {
        load: () =>
          defineStepRunner('optimize', {
            options: z.strictObject({ file: z.string() }),
            async run(context, { file }) {
              note(context);
              return { file, content: readFileSync(file, 'utf8').repeat(2) };
            },
          }),
      });
      registries.dataSource.add('note', {
        load: () =>
          defineStepRunner('data', {
            options: z.strictObject({}),
            async run(context) {
              note(context);
              return {};
            },
          }),
      });
      registries.server.add('wait', {
        load: () =>
          defineStepRunner('serve', {
            options: z.strictObject({
              limit: z.number().default(1).meta({ reloadable: true }),
              port: z.number().default(1),
            }),
            async run(context) {
              note(context);
              await new Promise<void>((resolve) => {
                if (context.signal.aborted) resolve();
                context.signal.addEventListener('abort', () => resolve());
              });
              return {};
            },
          }),
      });
    },
  });
  return Object.assign(toy, { plugin });
}
