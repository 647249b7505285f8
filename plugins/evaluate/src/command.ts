import { type CommandContext, type CommandDefinition, integerBetween, numberBetween } from '@largeforge/core';

const count = integerBetween(1, 1e9);

/** `largeforge evaluate`: one benchmark on one model, as a pipeline of one step. */
export function evaluateCommand(): CommandDefinition<CommandContext> {
  return {
    name: 'evaluate',
    summary: 'measure a model; the last line is the figure',
    examples: ['largeforge evaluate --model ./model --benchmark perplexity --dataset ./wikitext-2/test.txt'],
    options: [
      { flags: '-m, --model <model>', description: 'folder, .gguf file, adapter or cached name', required: true },
      { flags: '--benchmark <name>', description: 'what to measure', choices: ['perplexity'], required: true },
      { flags: '--dataset <file>', description: 'a text file, or .jsonl rows', required: true },
      { flags: '--window <tokens>', description: 'tokens of a window', parse: count },
      { flags: '--stride <tokens>', description: 'tokens from window to window (default: no overlap)', parse: count },
      { flags: '--max-windows <count>', description: 'only the first windows', parse: count },
      { flags: '--bos', description: "put the tokenizer's BOS token before every window" },
      { flags: '--dtype <precision>', description: 'to compute in', choices: ['f32', 'bf16'], default: 'bf16' },
      { flags: '--fail-over <perplexity>', description: 'exit with 3 above it', parse: numberBetween(0, 1e9) },
    ],
    async run({ options: { benchmark, ...options } }, { runSteps, events }) {
      const use = benchmark as string;
      const { outputs } = await runSteps([{ name: use, stage: 'evaluate', use, with: options }]);
      const figure = outputs.get(use)?.[use] as number;
      events.emit({ type: 'message', level: 'info', text: figure.toFixed(4) });
    },
  };
}
