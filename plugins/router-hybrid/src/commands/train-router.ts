import { type CommandContext, type CommandDefinition, integerBetween, numberBetween } from '@largeforge/core';

/** `largeforge train router`: the step `router` of the stage `train` without a config file. */
export const trainRouterCommand: CommandDefinition<CommandContext> = {
  name: 'train router',
  summary: 'teach a router which expert answers which query',
  description:
    'Learns from rows {"text", "expert"}; "expert": null marks texts for none of them. Writes the router, a report and the confusion matrix.',
  examples: [
    'largeforge train router --dataset rows.jsonl --output-dir ./router',
    'largeforge train router --dataset rows.jsonl --encoder ./all-MiniLM-L6-v2 --test test.jsonl --output-dir ./router',
  ],
  options: [
    { flags: '--dataset <file>', description: 'JSON Lines of {"text", "expert"}', required: true },
    { flags: '--output-dir <folder>', description: 'where the router goes', required: true },
    { flags: '--validation <file>', description: 'held-out rows that thresholds are chosen on' },
    {
      flags: '--validation-share <share>',
      description: 'rows to hold out when none are given (default: 0.15)',
      parse: numberBetween(0.01, 0.5),
    },
    {
      flags: '--out-of-scope-recall <share>',
      description: 'held-out texts for none to turn away (default: 0.8)',
      parse: numberBetween(0, 1),
    },
    { flags: '--test <file>', description: 'rows to report on that nothing is chosen on' },
    { flags: '--encoder <folder>', description: 'sentence encoder such as MiniLM; without it, n-grams alone' },
    { flags: '--epochs <count>', description: 'passes over the rows (default: 5)', parse: integerBetween(1, 100) },
    { flags: '--seed <number>', description: 'of the order of the rows', parse: integerBetween(0, 2 ** 31) },
  ],
  async run({ options }, { runSteps }) {
    await runSteps([{ name: 'router', stage: 'train', use: 'router', with: { ...options } }]);
  },
};
