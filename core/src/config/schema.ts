import { z } from 'zod';
import { stageRegistry } from '../lifecycle/registries.js';

/** Marks an option that may change while the program runs. */
export const reloadable = <T extends z.ZodType>(schema: T): T =>
  schema.meta({ ...schema.meta(), reloadable: true }) as T;

/** Marks an option that must never be printed. */
export const secret = <T extends z.ZodType>(schema: T): T => schema.meta({ ...schema.meta(), secret: true }) as T;

const options = z.record(z.string(), z.unknown());

/** A plugin itself, in a config that is a program. */
const inlinePlugin = z.custom<object>((value) => typeof value === 'object' && value !== null && 'setup' in value, {
  error: 'expected what definePlugin() returns',
});
const pluginName = z.string({ error: 'expected a package name or a path' }).min(1);
const pluginChoice = z.union([pluginName, inlinePlugin]);

const pluginEntry = z
  .union([pluginName, inlinePlugin, z.tuple([pluginChoice, options]), z.tuple([pluginChoice])], {
    error: "expected a plugin's package name or path, or [name, options]",
  })
  .describe('A package, a path relative to this file, or [package or path, options]');

const backend = z.union(
  [
    z.string().min(1),
    z.strictObject({
      name: z.string().min(1).default('auto').describe('Which backend, or "auto"'),
      threads: z.int().positive().optional().describe('Threads to compute with; all cores unless given'),
      device: z.int().nonnegative().optional().describe("Which of the backend's devices, from 0"),
    }),
  ],
  { error: 'expected "auto", the name of a backend, or {name, threads, device}' },
);

const stepName = z
  .string()
  .regex(/^[A-Za-z][\w-]*$/, 'expected a name of letters, digits, "-" and "_" that starts with a letter');

/** Stages that a step can name. */
export const stageNames = Object.keys(stageRegistry) as [keyof typeof stageRegistry, ...(keyof typeof stageRegistry)[]];

export const pipelineStep = z.strictObject({
  name: stepName.describe('Later steps refer to its outputs as ${steps.<name>.<output>}'),
  stage: z.enum(stageNames),
  use: z.string().min(1).describe('Which entry of the stage to run, such as the trainer "sft"'),
  with: options.default({}).describe('Options of the chosen entry'),
});

export type PipelineStep = z.output<typeof pipelineStep>;

function refuseSameNames(steps: readonly PipelineStep[], context: z.RefinementCtx): void {
  const seen = new Map<string, number>();
  for (const [i, { name }] of steps.entries()) {
    const first = seen.get(name);
    const message = `expected a name of its own (pipeline[${first}] has it already)`;
    if (first !== undefined) context.addIssue({ code: 'custom', path: [i, 'name'], message });
    else seen.set(name, i);
  }
}

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** The config but for what plugins and steps add to it. */
export const rootSchema = z.strictObject({
  plugins: z.array(pluginEntry).default([]).describe('Only plugins that are listed are loaded'),
  backend: backend.default('auto').describe('Where tensors are computed'),
  log: z
    .strictObject({
      level: reloadable(z.enum(logLevels).default('info')).describe('The least important messages that are written'),
      format: z.enum(['auto', 'pretty', 'json']).default('auto').describe('Lines for people, or JSON lines'),
    })
    .prefault({}),
  runDir: z.string().min(1).default('.largeforge').describe('Where runs keep their state and what has no other place'),
  pipeline: z.array(pipelineStep).default([]).superRefine(refuseSameNames).describe('Steps, run one after the other'),
});

export type RootConfig = z.output<typeof rootSchema>;

/** Keys that are gone when the layers are merged: for the JSON Schema. */
export const layerSchema = z.strictObject({
  extends: z
    .union([z.string(), z.array(z.string())])
    .optional()
    .describe('Configs that this one builds on'),
  profiles: z.record(z.string(), options).optional().describe('Named sets of changes, applied by --profile <name>'),
});
