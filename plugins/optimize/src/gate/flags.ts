import { type CommandOption, numberBetween } from '@largeforge/core';

/** Flags of commands whose step has a gate. */
export const gateFlags: readonly CommandOption[] = [
  { flags: '--gate-dataset <file>', description: 'a text to compare the models on' },
  { flags: '--max-perplexity-ratio <ratio>', description: 'fail above it', parse: numberBetween(1, 1e6) },
  { flags: '--max-kl <nats>', description: 'fail above it', parse: numberBetween(0, 1e6) },
  { flags: '--min-top1 <share>', description: 'fail below it', parse: numberBetween(0, 1) },
];

/** Splits what these flags say off from the other options that were given, as an option `gate` where they say something. */
export function withGate(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { gateDataset, maxPerplexityRatio, maxKl, minTop1, ...rest } = options;
  const given = (values: object) =>
    Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
  const gate = given({ dataset: gateDataset, maxPerplexityRatio, maxKl, minTop1 });
  return { ...given(rest), ...(Object.keys(gate).length > 0 && { gate }) };
}
