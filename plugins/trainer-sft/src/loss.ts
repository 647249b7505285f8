import { defineErrors, didYouMean, type StepContext } from '@largeforge/core';
import { type AnyTokenLossDefinition, crossEntropyLoss, defineTokenLoss, type TokenLoss } from '@largeforge/engine';
import { z } from 'zod';
import type { SftOptions } from './options.js';

declare module '@largeforge/core' {
  interface RegistryContracts {
    loss: AnyTokenLossDefinition;
  }
}

const errors = defineErrors({
  LF_SFT_LOSS: {
    message: (a: { name: string; problems: readonly string[] }) =>
      a.problems.map((problem) => `loss.with (${a.name})${problem}`).join('\n'),
    remedy: (a) => `loss is {name: ${a.name}, with: {...}}; \`with\` holds what this loss can be told.`,
    exitCode: 2,
  },
  LF_SFT_LOSS_ENTRY: {
    message: (a: { name: string }) => `the loss "${a.name}" has no options schema or no create function`,
    remedy: () => 'A loss is what defineTokenLoss of @largeforge/engine returns; its plugin is to be corrected.',
  },
});

/** `cross-entropy`: what is minimised unless the config names another loss. */
export const crossEntropyDefinition = defineTokenLoss({
  options: z.strictObject({
    labelSmoothing: z.number().min(0).lt(1).default(0).describe('part of the probability spread over all tokens'),
  }),
  create: crossEntropyLoss,
});

/** A loss, and a name for it that also says its options. */
export interface ChosenLoss {
  readonly loss: TokenLoss;
  readonly name: string;
}

/** The loss that the options name, from the registry. */
export async function chosenLoss(
  context: Pick<StepContext<'train'>, 'name'> & { readonly kernel: Pick<StepContext['kernel'], 'registries'> },
  { name, with: given }: SftOptions['loss'],
): Promise<ChosenLoss> {
  const definition = await context.kernel.registries.loss.get(name, `${context.name}: loss.name`);
  if (typeof definition?.options?.safeParse !== 'function' || typeof definition.create !== 'function') {
    throw errors.LF_SFT_LOSS_ENTRY({ name });
  }
  const { options } = definition;
  const parsed = options.safeParse(given);
  if (!parsed.success) {
    const known = options instanceof z.ZodObject ? Object.keys(options.shape) : [];
    throw errors.LF_SFT_LOSS({ name, problems: parsed.error.issues.flatMap((issue) => describe(issue, known)) });
  }
  return { loss: definition.create(parsed.data as never), name: `${name} ${JSON.stringify(parsed.data)}` };
}

function describe(issue: z.core.$ZodIssue, known: readonly string[]): string[] {
  const path = issue.path.map((key) => `.${String(key)}`).join('');
  if (issue.code !== 'unrecognized_keys') return [`${path}: ${issue.message}`];
  return issue.keys.map((key) => `${path}.${key}: unknown key.${didYouMean(key, known)}`);
}
