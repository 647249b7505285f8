import {
  type CommandContext,
  type CommandDefinition,
  integerBetween,
  numberBetween,
  type StepRequest,
} from '@largeforge/core';
import { gateFlags, withGate } from '@largeforge/optimize';
import { sparseMethods } from './options.js';

const share = numberBetween(0, 1);
const count = integerBetween(1, 1e9);

/** `largeforge prune`: a pipeline of one optimize step. */
export function pruneCommand(): CommandDefinition<CommandContext> {
  return {
    name: 'prune',
    summary: 'make a model smaller: weights to 0, or heads, channels and layers out of it',
    examples: [
      'largeforge prune --model ./model --method sparsegpt --pattern 2:4 --calibration ./valid.txt --output-dir ./model-24',
      'largeforge prune --model ./model --method structured --channels 0.25 --layers 0.2 --calibration ./valid.txt --output-dir ./small',
    ],
    options: [
      { flags: '-m, --model <model>', description: 'folder, .gguf file or cached name', required: true },
      { flags: '--method <name>', description: 'what goes', choices: [...sparseMethods, 'structured'], required: true },
      { flags: '--output-dir <folder>', description: 'where the pruned model goes', required: true },
      { flags: '--calibration <file>', description: 'a text, .jsonl rows, or self; magnitude needs none' },
      { flags: '--sparsity <share>', description: 'of the weights (default: 0.5)', parse: share },
      { flags: '--pattern <N:M>', description: 'N of every M weights instead: 2:4' },
      { flags: '--damping <share>', description: "sparsegpt: of the mean of the Hessian's diagonal", parse: share },
      { flags: '--heads <share>', description: 'structured: of the key-value heads', parse: share },
      { flags: '--channels <share>', description: 'structured: of the feed-forward channels', parse: share },
      { flags: '--layers <share>', description: 'structured: of the layers', parse: share },
      { flags: '--multiple-of <count>', description: 'structured: of channels that stay (default: 32)', parse: count },
      { flags: '--samples <count>', description: 'windows of the calibration text (default: 128)', parse: count },
      { flags: '--sequence-length <tokens>', description: 'of a window (default: 512)', parse: count },
      { flags: '--seed <number>', description: 'draw windows at random', parse: integerBetween(0, 2 ** 32) },
      { flags: '--dtype <precision>', description: 'to compute in, and of the weights', choices: ['f32', 'bf16'] },
      ...gateFlags,
    ],
    async run({ options }, { runSteps }) {
      await runSteps([pruneStep(options)]);
    },
  };
}

/** The step that a command line means. */
export function pruneStep(options: Readonly<Record<string, unknown>>): StepRequest {
  const { method, ...rest } = withGate(options);
  const structured = method === 'structured';
  return {
    name: 'prune',
    stage: 'optimize',
    use: structured ? 'prune-structured' : 'prune',
    with: { ...rest, ...(!structured && { method }) },
  };
}
