import {
  type CommandContext,
  type CommandDefinition,
  integerBetween,
  numberBetween,
  type StepRequest,
} from '@largeforge/core';
import { gateFlags, withGate } from '@largeforge/optimize';
import { checkpointFormats } from './checkpoint/scheme.js';
import { ggufRecipes } from './gguf/block-types.js';

const count = integerBetween(1, 1e9);

/** `largeforge quantize`: a pipeline of one optimize step. */
export function quantizeCommand(): CommandDefinition<CommandContext> {
  return {
    name: 'quantize',
    summary: 'make a model smaller: weights of few bits',
    description:
      'Methods are the optimizers gptq, awq, smoothquant (weights and inputs of 8 bits), rtn (round to nearest) and gguf, of the plugins that the config lists.',
    examples: [
      'largeforge quantize --model ./model --method gptq --bits 4 --calibration ./wikitext-2/valid.txt --output-dir ./model-gptq',
      'largeforge quantize --model ./model --method awq --format compressed-tensors --calibration ./rows.jsonl --output-dir ./model-awq',
    ],
    options: [
      { flags: '-m, --model <model>', description: 'folder, .gguf file or cached name', required: true },
      {
        flags: '--method <name>',
        description: 'how codes are chosen',
        choices: ['gptq', 'awq', 'smoothquant', 'rtn', 'gguf'],
        required: true,
      },
      { flags: '--output-dir <folder>', description: 'where the quantised model goes', required: true },
      { flags: '--calibration <file>', description: 'a text, or .jsonl with "text" or "messages"', required: true },
      { flags: '--bits <count>', description: 'of a weight (default: 4)', parse: count },
      {
        flags: '--group-size <count>',
        description: 'inputs that share a scale (default: 128, 64 or 32)',
        parse: count,
      },
      { flags: '--format <name>', description: 'of the files', choices: checkpointFormats },
      {
        flags: '--type <recipe>',
        description: 'gguf: types of the tensors, as llama.cpp names them',
        choices: ggufRecipes,
      },
      { flags: '--asymmetric', description: 'zero points of their own for groups; of awq always' },
      { flags: '--samples <count>', description: 'windows of the calibration text (default: 128)', parse: count },
      { flags: '--sequence-length <tokens>', description: 'of a window (default: 512)', parse: count },
      {
        flags: '--seed <number>',
        description: 'draw windows at random (default: the first)',
        parse: integerBetween(0, 2 ** 32),
      },
      {
        flags: '--dtype <precision>',
        description: 'to compute in, and of weights that stay',
        choices: ['f32', 'bf16'],
      },
      { flags: '--act-order', description: 'gptq: inputs with the largest activations first' },
      {
        flags: '--sweeps <count>',
        description: 'gptq, awq: of coordinate descent afterwards',
        parse: integerBetween(0, 50),
      },
      {
        flags: '--drift-correction <share>',
        description: 'gptq, awq: of what earlier layers changed of the inputs, made up for',
        parse: numberBetween(0, 1),
      },
      {
        flags: '--alpha <share>',
        description: 'smoothquant: of the range that weights take, inputs the rest (default: 0.5)',
        parse: numberBetween(0, 1),
      },
      { flags: '--lm-head', description: 'quantise the output head too' },
      {
        flags: '--block-wise',
        description: 'gptq: all parts of a layer on what the original layer gives, not one after another',
      },
      {
        flags: '--damping <share>',
        description: "gptq: of the mean of the Hessian's diagonal",
        parse: numberBetween(0, 1),
      },
      ...gateFlags,
    ],
    async run({ options }, { runSteps }) {
      await runSteps([quantizeStep(options)]);
    },
  };
}

/** The step that a command line means. */
export function quantizeStep(options: Readonly<Record<string, unknown>>): StepRequest {
  const { method, asymmetric, blockWise, ...rest } = withGate(options);
  return {
    name: 'quantize',
    stage: 'optimize',
    use: String(method),
    with: {
      ...rest,
      ...(asymmetric === true && { symmetric: false }),
      ...(blockWise === true && { trueSequential: false }),
    },
  };
}
