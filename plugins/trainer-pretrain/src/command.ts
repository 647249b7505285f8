import { type CommandContext, type CommandDefinition, numberBetween } from '@largeforge/core';
import { stepOptions, trainCommand } from '@largeforge/trainer';

const share = numberBetween(0, 1);

const command = trainCommand({
  trainer: 'pretrain',
  summary: 'continued pre-training: learn a domain from documents',
  examples: [
    'largeforge train pretrain --model ./base --dataset ./medical/ --output-dir ./medical-base --full',
    'largeforge train pretrain --model ./base --dataset ./medical.jsonl --replay ./general.parquet --replay-share 0.2 --output-dir ./out',
  ],
  formats: 'text, or any other',
  flags: [
    { flags: '--replay <paths...>', description: 'general documents that are read again beside the domain' },
    {
      flags: '--replay-share <share>',
      description: 'of the tokens, of the documents that are replayed',
      default: 0.1,
      parse: share,
    },
    { flags: '--curriculum <name>', description: 'order of the documents', choices: ['none', 'length', 'score'] },
  ],
});

/** `largeforge train pretrain`: one domain, and documents that are replayed. Mixtures of more are written in a config. */
export const trainPretrain: CommandDefinition<CommandContext> = {
  ...command,
  async run({ options }, { runSteps }) {
    const { resume, force, replay, replayShare, ...flags } = options;
    const { dataset, evalDataset, ...rest } = stepOptions(flags);
    const domain = { name: 'domain', dataset, ...(evalDataset === undefined ? {} : { evalDataset }) };
    const domains =
      replay === undefined
        ? [domain]
        : [
            { ...domain, weight: 1 - (replayShare as number) },
            { name: 'replay', dataset: { paths: replay }, weight: replayShare },
          ];
    await runSteps([{ name: 'pretrain', stage: 'train', use: 'pretrain', with: { ...rest, domains } }], {
      resume: resume === true,
      ...(force === true ? { force } : {}),
    });
  },
};
