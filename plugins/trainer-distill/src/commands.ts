import { numberBetween } from '@largeforge/core';
import { trainCommand } from '@largeforge/trainer';
import { divergences } from './options.js';

const number = numberBetween(-Number.MAX_VALUE, Number.MAX_VALUE);

/** Layers by number, or how many. */
function layers(text: string, before: unknown): number[] {
  return [...(Array.isArray(before) ? (before as number[]) : []), number(text)];
}

/** `largeforge train distill`. */
export const trainDistill = trainCommand({
  trainer: 'distill',
  modelAlias: 'student',
  summary: 'distillation: a small model learns what a large one would say',
  examples: [
    'largeforge train distill --student ./small --teacher ./large --dataset rows.jsonl --output-dir ./student',
    'largeforge train distill --model ./large --teacher ./large --keep-layers 0 2 4 6 --full --dataset rows.jsonl --output-dir ./student',
  ],
  formats: 'messages, sharegpt, alpaca, prompt-completion, text',
  flags: [
    {
      flags: '--teacher <model>',
      description: 'model that is learnt from, or the address of a server',
      required: true,
    },
    { flags: '--teacher-model <name>', description: 'its name on the server' },
    { flags: '--teacher-adapter <folder>', description: 'LoRA adapter of the teacher' },
    {
      flags: '--keep-layers <layers...>',
      description: 'layers of the model that the student begins with',
      parse: layers,
    },
    {
      flags: '--vocabulary <policy>',
      description: 'a teacher with other numbers for its tokens is refused, or aligned by their texts',
      choices: ['same', 'align'],
    },
    { flags: '--divergence <name>', description: 'distance from the teacher', choices: divergences },
    { flags: '--beta <share>', description: 'of generalized_js', parse: number },
    { flags: '--temperature <number>', description: 'both logits are divided by it', parse: number },
    { flags: '--alpha <share>', description: 'of the divergence in the loss', parse: number },
    { flags: '--top-k <count>', description: "keep so many of the teacher's logits on disk", parse: number },
  ],
});
