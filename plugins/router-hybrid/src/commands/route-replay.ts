import { resolve } from 'node:path';
import type { CommandContext, CommandDefinition } from '@largeforge/core';
import { type StrategyName, strategyNames } from '../router/trained-router.js';
import { evaluateRouter } from '../training/evaluation.js';
import { type OpenEncoder, openRouter } from '../training/open-router.js';
import { readRows } from '../training/rows.js';

interface ReplayFlags {
  readonly router: string;
  readonly dataset: string;
  readonly strategy: readonly StrategyName[];
  readonly encoder?: string;
}

/** A share to four digits; JSON knows no NaN. */
const rounded = (value: number, digits = 4): number | null =>
  Number.isNaN(value) ? null : Number(value.toFixed(digits));

/**
 * `largeforge route replay`: decides on rows again, one after the other. A JSON line for each strategy; the last one is
 * of the strategy that was named last.
 */
export function routeReplayCommand(
  openEncoder: OpenEncoder,
  output: NodeJS.WritableStream,
): CommandDefinition<CommandContext> {
  return {
    name: 'route replay',
    summary: 'decide on rows again and compare with their experts',
    description:
      'Prints a JSON line for each strategy: accuracy over all rows, in-scope accuracy, out-of-scope recall, and the time of a decision (p50, p99 in milliseconds).',
    examples: [
      'largeforge route replay --router ./router --dataset rows.jsonl',
      'largeforge route replay --router ./router --dataset rows.jsonl --strategy keyword neural hybrid',
    ],
    options: [
      { flags: '--router <folder>', description: 'what "largeforge train router" wrote', required: true },
      { flags: '--dataset <file>', description: 'JSON Lines of {"text", "expert"}', required: true },
      {
        flags: '--strategy <names...>',
        description: 'strategies to compare',
        choices: [...strategyNames],
        default: ['hybrid'],
      },
      { flags: '--encoder <folder>', description: 'the sentence encoder, when it has moved since the training' },
    ],
    async run({ options }, { cwd, signal }) {
      const { router: folder, dataset, strategy: strategies, encoder } = options as unknown as ReplayFlags;
      const rows = readRows(resolve(cwd, dataset));
      const path = encoder === undefined ? undefined : resolve(cwd, encoder);
      for (const strategy of strategies) {
        await using opened = await openRouter(resolve(cwd, folder), openEncoder, { strategy }, path);
        const experts = opened.router.trained!.neural.labels.map((name) => ({ name }));
        const figures = await evaluateRouter(opened.router, rows, experts, signal);
        const line = {
          strategy,
          rows: figures.rows,
          accuracy: rounded(figures.accuracy),
          in_scope_accuracy: rounded(figures.inScopeAccuracy),
          out_of_scope_recall: rounded(figures.outOfScopeRecall),
          p50_ms: rounded(figures.p50, 3),
          p99_ms: rounded(figures.p99, 3),
        };
        output.write(`${JSON.stringify(line)}\n`);
      }
    },
  };
}
