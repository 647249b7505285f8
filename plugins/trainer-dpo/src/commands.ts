import { numberBetween } from '@largeforge/core';
import { trainCommand } from '@largeforge/trainer';

const number = numberBetween(-Number.MAX_VALUE, Number.MAX_VALUE);

/** Of a flag that takes several numbers. */
const numbers = (text: string, before: unknown) => [...(Array.isArray(before) ? before : []), number(text)];

const pairFormats = 'preference, sharegpt-preference';

const beta = { flags: '--beta <number>', description: 'how closely to keep to the reference', parse: number };
const rewardScale = { flags: '--beta <number>', description: 'scale of the rewards', parse: number };
const reference = { flags: '--reference <model>', description: 'model to compare with, instead of the base' };
const labelSmoothing = {
  flags: '--label-smoothing <share>',
  description: 'pairs that are taken to be the wrong way round',
  parse: number,
};

/** `largeforge train dpo`. */
export const trainDpo = trainCommand({
  trainer: 'dpo',
  summary: 'direct preference optimisation: learn which of two answers is the better one',
  examples: [
    'largeforge train dpo --model ./sft --dataset pairs.jsonl --output-dir ./dpo --beta 0.1',
    'largeforge train dpo --model ./sft --dataset pairs.jsonl --output-dir ./dpo --loss ipo --full',
    'largeforge train dpo --model ./sft --dataset pairs.jsonl --output-dir ./dpo --loss sigmoid sft --loss-weights 1 0.1',
  ],
  formats: pairFormats,
  flags: [
    beta,
    { flags: '--loss <names...>', description: 'sigmoid, hinge, ipo, ...; several are added up' },
    { flags: '--loss-weights <numbers...>', description: 'of each of several losses', parse: numbers },
    labelSmoothing,
    { flags: '--f-divergence <name>', description: 'distance from the reference' },
    { flags: '--ld-alpha <share>', description: 'weight of the longer part of an answer', parse: number },
    reference,
    { flags: '--precompute-reference', description: 'ask the reference before training' },
  ],
});

/** `largeforge train orpo`. */
export const trainOrpo = trainCommand({
  trainer: 'orpo',
  summary: 'odds-ratio preference optimisation: no reference, one run instead of SFT and DPO',
  examples: ['largeforge train orpo --model ./base --dataset pairs.jsonl --output-dir ./orpo --beta 0.1'],
  formats: pairFormats,
  flags: [{ flags: '--beta <number>', description: 'weight of the odds ratio', parse: number }],
});

/** `largeforge train cpo`. */
export const trainCpo = trainCommand({
  trainer: 'cpo',
  summary: 'contrastive preference optimisation: no reference',
  examples: ['largeforge train cpo --model ./sft --dataset pairs.jsonl --output-dir ./cpo'],
  formats: pairFormats,
  flags: [
    rewardScale,
    { flags: '--loss <name>', description: 'of a pair', choices: ['sigmoid', 'hinge', 'ipo', 'simpo'] },
    { flags: '--cpo-alpha <number>', description: 'weight of the cross-entropy of chosen answers', parse: number },
    { flags: '--simpo-gamma <number>', description: 'margin between rewards, with simpo', parse: number },
    labelSmoothing,
  ],
});

/** `largeforge train simpo`. */
export const trainSimpo = trainCommand({
  trainer: 'simpo',
  summary: 'simple preference optimisation: no reference, lengths do not count',
  examples: ['largeforge train simpo --model ./sft --dataset pairs.jsonl --output-dir ./simpo --beta 2 --gamma 1'],
  formats: pairFormats,
  flags: [
    rewardScale,
    { flags: '--gamma <number>', description: 'margin between rewards', parse: number },
    labelSmoothing,
  ],
});

/** `largeforge train kto`. */
export const trainKto = trainCommand({
  trainer: 'kto',
  summary: 'Kahneman-Tversky optimisation: learn from single answers that are good or bad',
  examples: ['largeforge train kto --model ./sft --dataset labelled.jsonl --output-dir ./kto'],
  formats: `unpaired-preference, ${pairFormats}`,
  flags: [
    beta,
    { flags: '--loss <name>', description: 'what is minimised', choices: ['kto', 'apo_zero_unpaired'] },
    { flags: '--desirable-weight <number>', description: 'of good answers', parse: number },
    { flags: '--undesirable-weight <number>', description: 'of bad answers', parse: number },
    reference,
  ],
});
