import { resolve } from 'node:path';
import type { CommandContext, CommandDefinition } from '@largeforge/core';
import { type GroupReport, readDecisions, reportOn } from '../learning/log-report.js';

const rounded = (value: number): number | null => (Number.isFinite(value) ? Number(value.toFixed(4)) : null);

/** `largeforge route report`: JSON lines about a decision log. */
export function routeReportCommand(output: NodeJS.WritableStream): CommandDefinition<CommandContext> {
  return {
    name: 'route report',
    summary: 'tell from a decision log how experts and the arms of an experiment did',
    description:
      'Prints a JSON line for each expert and each arm of an experiment (decisions, scores, p99 of a decision), for each comparison of an arm with the first by name (difference of the mean scores, 95 % interval, p-value), and, where decisions explored, what the mean score would be without exploring.',
    examples: ['largeforge route report --decisions ./decisions.jsonl'],
    options: [{ flags: '--decisions <file>', description: 'the decision log of a server', required: true }],
    async run({ options }, { cwd }) {
      const report = reportOn(readDecisions(resolve(cwd, options.decisions as string)));
      const print = (line: object) => output.write(`${JSON.stringify(line)}\n`);
      const group = ({ decisions, scored, meanScore, p99 }: GroupReport) => ({
        decisions,
        scored,
        mean_score: rounded(meanScore),
        p99_ms: rounded(p99),
      });
      for (const [expert, figures] of report.experts) print({ expert, ...group(figures) });
      for (const [arm, figures] of report.arms) print({ arm, ...group(figures) });
      for (const [arm, { difference, interval, pValue }] of report.comparisons) {
        print({ arm, difference: rounded(difference), interval: interval.map(rounded), p_value: rounded(pValue) });
      }
      if (report.withoutExploration) {
        const { value, interval, effectiveDecisions } = report.withoutExploration;
        print({
          policy: 'without exploration',
          mean_score: rounded(value),
          interval: interval.map(rounded),
          effective_decisions: rounded(effectiveDecisions),
        });
      }
    },
  };
}
