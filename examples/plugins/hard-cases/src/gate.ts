import type { Refusal } from '@largeforge/core';
import { z } from 'zod';

export const gateOptions = z.strictObject({
  metric: z.string().min(1).default('accuracy').describe('the figure of an evaluation that counts'),
  minimum: z.number().default(0).describe('what it must at least be'),
  steps: z.array(z.string().min(1)).optional().describe('evaluations that are looked at; all unless given'),
});

export type GateOptions = z.output<typeof gateOptions>;

/** Why an evaluation's figures are not good enough; undefined when they are, or when they do not matter. */
export function judge(
  { metric, minimum, steps }: GateOptions,
  step: string,
  outputs: Readonly<Record<string, unknown>>,
): Refusal | undefined {
  if (steps && !steps.includes(step)) return undefined;
  const score = outputs[metric];
  if (typeof score !== 'number') {
    return {
      reason: `"${step}" gives no figure called "${metric}"`,
      remedy: `It gives ${Object.keys(outputs).join(', ')}: name one of them as metric.`,
    };
  }
  if (score >= minimum) return undefined;
  return {
    reason: `${metric} of "${step}" is ${score.toFixed(3)}, below ${minimum}`,
    remedy: 'Train longer or on more data, or lower the minimum.',
  };
}
