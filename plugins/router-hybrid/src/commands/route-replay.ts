import { resolve } from 'node:path';
import type { CommandContext, CommandDefinition } from '@largeforge/core';
import { routerErrors } from '../errors.js';
import { type LoggedOutcome, readDecisions } from '../learning/log-report.js';
import { type PolicyReplay, type ReplayedDecision, replayable, replayPolicy } from '../learning/replay.js';
import { type StrategyName, strategyNames } from '../router/trained-router.js';
import { type Evaluation, evaluateRouter } from '../training/evaluation.js';
import { type OpenEncoder, openRouter } from '../training/open-router.js';
import { readRows } from '../training/rows.js';

interface ReplayFlags {
  readonly router: string;
  readonly dataset?: string;
  readonly decisions?: string;
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
      'Prints a JSON line for each strategy: accuracy over all rows, in-scope accuracy, out-of-scope recall, and the time of a decision (p50, p99 in milliseconds). With a decision log instead of rows: how often the strategy agrees with it, and what its answers would have scored (95 % interval), estimated from the scores in the log.',
    examples: [
      'largeforge route replay --router ./router --dataset rows.jsonl',
      'largeforge route replay --router ./router --dataset rows.jsonl --strategy keyword neural hybrid',
      'largeforge route replay --router ./router --decisions decisions.jsonl --strategy neural hybrid',
    ],
    options: [
      { flags: '--router <folder>', description: 'what "largeforge train router" wrote', required: true },
      { flags: '--dataset <file>', description: 'JSON Lines of {"text", "expert"}' },
      { flags: '--decisions <file>', description: 'the decision log of a server, with its queries and their scores' },
      {
        flags: '--strategy <names...>',
        description: 'strategies to compare',
        choices: [...strategyNames],
        default: ['hybrid'],
      },
      { flags: '--encoder <folder>', description: 'the sentence encoder, when it has moved since the training' },
    ],
    async run({ options }, { cwd, signal }) {
      const { router: folder, dataset, decisions, strategy: strategies, encoder } = options as unknown as ReplayFlags;
      if ((dataset === undefined) === (decisions === undefined)) throw routerErrors.LF_ROUTER_REPLAY_ROWS(undefined);
      const rows = dataset === undefined ? [] : readRows(resolve(cwd, dataset));
      const log = decisions === undefined ? undefined : decisionsOf(resolve(cwd, decisions));
      const path = encoder === undefined ? undefined : resolve(cwd, encoder);
      for (const strategy of strategies) {
        await using opened = await openRouter(resolve(cwd, folder), openEncoder, { strategy }, path);
        const experts = opened.router.trained!.neural.labels.map((name) => ({ name }));
        const line = log
          ? policyLine(strategy, await replayPolicy(opened.router, log, experts, signal))
          : rowsLine(strategy, await evaluateRouter(opened.router, rows, experts, signal));
        output.write(`${JSON.stringify(line)}\n`);
      }
    },
  };
}

function decisionsOf(file: string): ReplayedDecision[] {
  const all = readDecisions(file);
  const log = replayable(all);
  if (log.length > 0) return log;
  const count = (keep: (entry: LoggedOutcome) => boolean) => all.filter(keep).length;
  throw routerErrors.LF_ROUTER_LOG_SILENT({
    file,
    decisions: all.length,
    scored: count(({ score }) => score !== undefined),
    texts: count(({ text }) => text !== undefined),
  });
}

const rowsLine = (strategy: StrategyName, figures: Evaluation) => ({
  strategy,
  rows: figures.rows,
  accuracy: rounded(figures.accuracy),
  in_scope_accuracy: rounded(figures.inScopeAccuracy),
  out_of_scope_recall: rounded(figures.outOfScopeRecall),
  p50_ms: rounded(figures.p50, 3),
  p99_ms: rounded(figures.p99, 3),
});

const policyLine = (strategy: StrategyName, { decisions, agreement, estimate }: PolicyReplay) => ({
  strategy,
  decisions,
  agreement: rounded(agreement),
  mean_score: estimate ? rounded(estimate.value) : null,
  interval: estimate ? estimate.interval.map((value) => rounded(value)) : null,
  effective_decisions: estimate ? rounded(estimate.effectiveDecisions, 1) : 0,
});
