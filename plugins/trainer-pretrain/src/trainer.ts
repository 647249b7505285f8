import { defineStepRunner, pathOrName, type StepContext } from '@largeforge/core';
import { exampleRows, type TrainingData, trainingData } from '@largeforge/data';
import {
  type RowSource,
  readModelSource,
  splitRows,
  Tokenizer,
  type TokenRow,
  type TrainingResult,
  withTokenizerOf,
} from '@largeforge/engine';
import { checkTrainer, fineTune, type TrainerOptions, trainerOutputs } from '@largeforge/trainer';
import { trainOnly } from './layers.js';
import { type Domain, joinedDomains, startsOf } from './mixture.js';
import { pretrainObjective } from './objective.js';
import { type DomainOptions, type PretrainOptions, pretrainOptions } from './options.js';
import { scoresOf } from './scores.js';
import { rowsOfRun } from './stages.js';

/** Continued pre-training on a mixture of domains: a LoRA adapter, every weight, or some layers. */
export const pretrainRunner = defineStepRunner('train', {
  options: pretrainOptions,
  outputs: [...trainerOutputs, 'perplexity'],
  inputs({ model, adapter, domains }: PretrainOptions) {
    const corpora = domains.flatMap(({ dataset, evalDataset }) => [...dataset.paths, ...(evalDataset?.paths ?? [])]);
    return { paths: [model, ...(adapter === undefined ? [] : [adapter]), ...corpora] };
  },
  async check(context, options: PretrainOptions) {
    for (const domain of options.domains) await checkTrainer(context, asTrainer(options, domain));
  },
  run,
});

/** Options as every trainer has them, of one domain. */
function asTrainer(options: PretrainOptions, { dataset, evalDataset }: DomainOptions): TrainerOptions {
  return { ...options, dataset, evalDataset };
}

/** A domain's documents that are learnt, and those that are held out. */
interface OpenDomain {
  readonly training: Domain;
  readonly heldOut: Domain | undefined;
}

async function run(context: StepContext<'train'>, options: PretrainOptions) {
  const base = pathOrName(context.resolvePath, options.model);
  const files = readModelSource(base);
  const source = options.adapter === undefined ? files : withTokenizerOf(context.resolvePath(options.adapter), files);
  const opened: TrainingData<TokenRow>[] = [];
  try {
    const domains: OpenDomain[] = [];
    for (const [i] of options.domains.entries()) domains.push(await openDomain(context, source, options, i, opened));
    const rows = joinedDomains(domains.map(({ training }) => training));
    const held = domains.flatMap(({ heldOut }) => (heldOut ? [heldOut] : []));
    const names = options.domains.map(({ name }) => name);
    const scored = options.curriculum === 'score' && !options.dryRun;
    const scores = scored ? await scoresOf(context, source, rows, options) : undefined;
    // An epoch of the loop is the whole run: its rows are drawn here, in their order.
    const loop = {
      ...asTrainer(options, options.domains[0] as DomainOptions),
      epochs: 1,
      order: 'sequential',
    } as const;
    return await fineTune(context, loop, {
      base,
      source,
      tokenizer: (opened[0] as TrainingData<TokenRow>).tokenizer,
      rows,
      training: rowsOfRun(options, rows, startsOf(domains.map(({ training }) => training)), scores),
      heldOut: held.length === 0 ? undefined : joinedHeldOut(domains),
      learningRates: { adapter: 2e-4, full: 2e-5 },
      objective(model) {
        if (options.trainLayers !== undefined) trainOnly(model, options.trainLayers);
        return pretrainObjective(model, names);
      },
      finished: (result) => report(context, result),
    });
  } finally {
    for (const data of opened) data.close();
  }
}

async function openDomain(
  context: StepContext<'train'>,
  source: Parameters<typeof Tokenizer.of>[0],
  { domains, maxLength, evalSplit, seed }: PretrainOptions,
  index: number,
  opened: TrainingData<TokenRow>[],
): Promise<OpenDomain> {
  const { name, dataset, evalDataset } = domains[index] as DomainOptions;
  const open = async (corpus: typeof dataset, key: string) => {
    const where = `domains[${index}].${key}`;
    const data = await trainingData(context, Tokenizer.of(source), { ...corpus, maxLength }, exampleRows, where);
    opened.push(data);
    return data.rows;
  };
  const rows = await open(dataset, 'dataset');
  if (evalDataset) return { training: { name, rows }, heldOut: { name, rows: await open(evalDataset, 'evalDataset') } };
  if (evalSplit === 0) return { training: { name, rows }, heldOut: undefined };
  const split = splitRows(rows.lengths.length, evalSplit, seed);
  return {
    training: { name, rows: someRows(rows, split.training, 'training') },
    heldOut: { name, rows: someRows(rows, split.heldOut, 'held-out') },
  };
}

/** Held-out documents of the domains that have some, with the index of their domain among all. */
function joinedHeldOut(domains: readonly OpenDomain[]) {
  const none: RowSource<TokenRow> = { fingerprint: 'none', lengths: [], read: () => [] };
  return joinedDomains(domains.map(({ training, heldOut }) => heldOut ?? { name: training.name, rows: none }));
}

function someRows<Row>(source: RowSource<Row>, rows: Uint32Array, part: string): RowSource<Row> {
  return {
    fingerprint: `${source.fingerprint}-${part}-${rows.length}`,
    lengths: Uint32Array.from(rows, (row) => source.lengths[row] as number),
    read: (indices) => source.read(Array.from(indices, (index) => rows[index] as number)),
  };
}

/** Tells what became of each domain's perplexity, from the first look at the held-out documents to the last. */
function report({ events, name }: StepContext<'train'>, { evaluations }: TrainingResult): Record<string, unknown> {
  const [first, last] = [evaluations[0], evaluations.at(-1)];
  if (!first || !last) return {};
  const perplexity = ({ metrics }: typeof first, key: string) => Math.exp(metrics[key] as number);
  const measured = Object.keys(last.metrics).filter(
    (key) => key.startsWith('loss') && Number.isFinite(last.metrics[key]),
  );
  const nameOf = (key: string) => (key === 'loss' ? 'all' : key.slice('loss/'.length));
  const lines = measured.map((key) => {
    const [before, after] = [perplexity(first, key), perplexity(last, key)];
    const change = `${after >= before ? '+' : ''}${(100 * (after / before - 1)).toFixed(1)} %`;
    return `  ${nameOf(key)}: ${before.toFixed(2)} at step ${first.step}, ${after.toFixed(2)} at step ${last.step} (${change})`;
  });
  events.emit({
    type: 'message',
    level: 'info',
    text: [`${name}: perplexity of held-out documents`, ...lines].join('\n'),
  });
  return { perplexity: Object.fromEntries(measured.map((key) => [nameOf(key), perplexity(last, key)])) };
}
