import { z } from 'zod';
import { stageRegistry } from '../lifecycle/contracts.js';

/** Marks an option that may change while the program runs. */
export const reloadable = <T extends z.ZodType>(schema: T): T =>
  schema.meta({ ...schema.meta(), reloadable: true }) as T;

/** Marks an option that must never be printed. */
export const secret = <T extends z.ZodType>(schema: T): T => schema.meta({ ...schema.meta(), secret: true }) as T;

const options = z.record(z.string(), z.unknown());

const pluginEntry = z
  .union([z.string().min(1), z.tuple([z.string().min(1), options])], {
    error: 'expected a plugin name, or [name, options]',
  })
  .describe('A package, a path relative to this file, or [package or path, options]');

const backend = z.union(
  [
    z.string().min(1),
    z.strictObject({
      name: z.string().min(1).default('auto'),
      threads: z.int().positive().optional(),
      device: z.int().nonnegative().optional(),
    }),
  ],
  { error: 'expected "auto", a backend\'s name, or {name, threads, device}' },
);

export const pipelineStep = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z][\w-]*$/, 'a step name starts with a letter and holds letters, digits, "-" and "_"')
    .describe('Later steps refer to its outputs as ${steps.<name>.<output>}'),
  stage: z.enum(Object.keys(stageRegistry) as [keyof typeof stageRegistry, ...(keyof typeof stageRegistry)[]]),
  use: z.string().min(1).describe('Which entry of the stage to run, such as the trainer "sft"'),
  with: options.default({}),
});

export type PipelineStep = z.output<typeof pipelineStep>;

/** The config but for what plugins and steps add to it. */
export const rootSchema = z.strictObject({
  plugins: z.array(pluginEntry).default([]).describe('Only plugins that are listed are loaded'),
  backend: backend.default('auto').describe('Where tensors are computed'),
  log: z
    .strictObject({
      level: reloadable(z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info')),
      format: z.enum(['auto', 'pretty', 'json']).default('auto'),
    })
    .prefault({}),
  runDir: z.string().min(1).default('.largeforge').describe('Where runs keep their state and what has no other place'),
  pipeline: z
    .array(pipelineStep)
    .default([])
    .superRefine((steps, context) => {
      const seen = new Map<string, number>();
      for (const [i, { name }] of steps.entries()) {
        const first = seen.get(name);
        if (first !== undefined)
          context.addIssue({
            code: 'custom',
            path: [i, 'name'],
            message: `step "${name}" exists already at pipeline[${first}]`,
          });
        seen.set(name, i);
      }
    }),
  profiles: z.record(z.string(), options).optional().describe('Named sets of changes: --profile <name>'),
});

export type RootConfig = z.output<typeof rootSchema>;
