import {
  type CommandContext,
  type CommandDefinition,
  collect,
  integerBetween,
  numberBetween,
  type StepRequest,
} from '@largeforge/core';
import { gateFlags, withGate } from '@largeforge/optimize';
import { adapterMethods } from './adapters/methods.js';
import { mergeErrors } from './errors.js';
import { modelMethods } from './models/methods.js';

/** `largeforge merge`: adapters into their base model, or models into one another; a pipeline of one optimize step. */
export function mergeCommand(): CommandDefinition<CommandContext> {
  return {
    name: 'merge',
    summary: 'merge LoRA adapters into their base model, or models into one',
    description:
      `Several adapters are combined first, by ${adapterMethods.join(', ')}, as PEFT's add_weighted_adapter has them; ` +
      `models are merged by ${modelMethods.join(', ')}, as mergekit has them. A weight is written behind its path: ./a=0.5`,
    examples: [
      'largeforge merge --base-model ./base --adapter ./out --output-dir ./merged',
      'largeforge merge --method ties --density 0.5 --adapter ./a=0.7 --adapter ./b=0.3 --output-dir ./merged',
      'largeforge merge --method slerp --t 0.4 --base-model ./a --model ./b --output-dir ./merged',
    ],
    options: [
      {
        flags: '--base-model <model>',
        description: 'folder, .gguf file or cached name (of adapters: as the adapter says)',
      },
      { flags: '--adapter <folder>', description: 'an adapter; may be given again', parse: collect },
      { flags: '-m, --model <model>', description: 'a model to merge; may be given again', parse: collect },
      { flags: '--output-dir <folder>', description: 'where the merged model goes', required: true },
      {
        flags: '--method <name>',
        description: 'how several become one (adapters: cat)',
        choices: [...new Set([...adapterMethods, ...modelMethods])],
      },
      { flags: '--density <share>', description: 'of values that are kept: ties, dare', parse: numberBetween(0, 1) },
      { flags: '--t <share>', description: 'slerp: from the base (0) to the model (1)', parse: numberBetween(0, 1) },
      { flags: '--rank <count>', description: 'svd: of the combined adapter', parse: integerBetween(1, 1e6) },
      { flags: '--lambda <factor>', description: 'models: of the differences', parse: numberBetween(-1e3, 1e3) },
      { flags: '--adapter-output-dir <folder>', description: 'where the combined adapter goes, if it is wanted' },
      { flags: '--seed <number>', description: 'dare: of what is dropped', parse: integerBetween(0, 2 ** 32) },
      {
        flags: '--dtype <precision>',
        description: 'of the merged weights',
        choices: ['f32', 'bf16', 'f16'],
        default: 'bf16',
      },
      ...gateFlags,
    ],
    async run({ options }, { runSteps }) {
      await runSteps([mergeStep(options)]);
    },
  };
}

/** The step that a command line means. Throws LF_MERGE_OPTIONS. */
export function mergeStep(options: Readonly<Record<string, unknown>>): StepRequest {
  const { adapter, model, ...given } = withGate(options);
  const wrong = (reason: string) => mergeErrors.LF_MERGE_OPTIONS({ reason });
  if (adapter !== undefined && model !== undefined) throw wrong('--adapter and --model are for merges of two kinds');
  if (model !== undefined) {
    if (given.method === undefined) throw wrong('models are merged by a --method');
    const models = (model as string[]).map(weighted);
    return { name: 'merge', stage: 'optimize', use: 'merge-models', with: { ...given, models } };
  }
  if (adapter === undefined) throw wrong('name an --adapter, or models with --model');
  const adapters = (adapter as string[]).map(weighted);
  return { name: 'merge', stage: 'optimize', use: 'merge-lora', with: { ...given, adapter: adapters } };
}

/** "./a=0.5" is a path with a weight. */
function weighted(text: string): { path: string; weight?: number } {
  const [, path, weight] = /^(.+)=(-?\d+(?:\.\d+)?)$/.exec(text) ?? [];
  return path === undefined ? { path: text } : { path, weight: Number(weight) };
}
