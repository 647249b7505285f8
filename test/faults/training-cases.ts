import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const base = fileURLToPath(new URL('../../examples/quickstart/base', import.meta.url));

/** Trainers whose runs must survive. */
export const trainers = ['sft', 'dpo', 'orpo', 'cpo', 'simpo', 'kto', 'distill', 'pretrain'] as const;
export type Trainer = (typeof trainers)[number];

/** A checkpoint after every step, so that most moments fall into writing one; everything that is random is on. */
const shared = {
  model: base,
  outputDir: './out',
  maxSteps: 20,
  batchSize: 2,
  saveSteps: 1,
  precision: 'f32',
  lora: { r: 4, dropout: 0.1 },
};

const letters = (i: number) => 'abcd'[i % 4] as string;
const completions = Array.from({ length: 12 }, (_, i) => ({ prompt: `say ${letters(i)}`, completion: letters(i + 1) }));
const pairs = completions.map(({ prompt, completion }, i) => ({
  prompt,
  chosen: completion,
  rejected: letters(i + 2),
}));
const judged = pairs.flatMap(({ prompt, chosen, rejected }) => [
  { prompt, completion: chosen, label: true },
  { prompt, completion: rejected, label: false },
]);
const texts = completions.map(({ prompt, completion }) => ({ text: `${prompt}: ${completion.repeat(5)}` }));

const packages: Readonly<Record<Trainer, string>> = {
  sft: 'trainer-sft',
  dpo: 'trainer-dpo',
  orpo: 'trainer-dpo',
  cpo: 'trainer-dpo',
  simpo: 'trainer-dpo',
  kto: 'trainer-dpo',
  distill: 'trainer-distill',
  pretrain: 'trainer-pretrain',
};

/** Writes the config and the rows of a tiny training into a folder. */
export function writeCase(folder: string, trainer: Trainer): void {
  const rows = trainer === 'sft' || trainer === 'distill' ? completions : trainer === 'kto' ? judged : pairs;
  const lines = trainer === 'pretrain' ? texts : rows;
  writeFileSync(join(folder, 'rows.jsonl'), lines.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const own =
    trainer === 'pretrain'
      ? { domains: [{ name: 'letters', dataset: './rows.jsonl' }], packing: false }
      : { dataset: './rows.jsonl', ...(trainer === 'distill' && { teacher: base }) };
  const config = {
    plugins: ['@largeforge/backend-cpu', `@largeforge/${packages[trainer]}`],
    backend: { name: 'cpu', threads: 1 },
    pipeline: [{ name: 'tune', stage: 'train', use: trainer, with: { ...shared, ...own } }],
  };
  writeFileSync(join(folder, 'largeforge.config.json'), JSON.stringify(config));
}
