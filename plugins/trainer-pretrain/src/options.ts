import { dataOptions } from '@largeforge/data';
import { checkTrainerOptions, trainerOptions } from '@largeforge/trainer';
import { z } from 'zod';

/** A corpus: every token is learnt, and what is longer than `maxLength` goes on in the next piece. */
const corpus = z.preprocess(
  (value) => (typeof value === 'string' || Array.isArray(value) ? { paths: value } : value),
  dataOptions.omit({ maxLength: true }).extend({
    overlong: dataOptions.shape.overlong.unwrap().default('split').describe('what to do with longer documents'),
    trainOn: dataOptions.shape.trainOn.unwrap().default('all').describe('tokens that are learnt'),
    style: dataOptions.shape.style,
  }),
);

const domain = z.strictObject({
  name: z
    .string()
    .regex(/^[\w.-]+$/, 'letters, digits, dots, dashes and underscores')
    .describe('in reports'),
  dataset: corpus.describe('documents: text files, JSON Lines with a field text, Parquet'),
  evalDataset: corpus.optional().describe('held-out documents'),
  weight: z
    .number()
    .positive()
    .optional()
    .describe('share of the tokens, beside the other weights; as many as it has unless given'),
});

const layers = z.union([
  z.array(z.int().nonnegative()).min(1),
  z.strictObject({ last: z.int().positive() }),
  z.strictObject({ first: z.int().positive() }),
]);

const stage = z.strictObject({
  share: z.number().positive().describe('of the tokens, beside the other shares'),
  weights: z.record(z.string(), z.number().min(0)).describe('of the domains by name; those left out have none'),
});

const { dataset: _dataset, evalDataset: _evalDataset, ...shared } = trainerOptions.shape;

/** Options of continued pre-training: those of every trainer, and what is read in which proportion. */
export const pretrainOptions = z
  .strictObject({
    ...shared,
    learningRate: shared.learningRate.describe('peak; 2e-4 with LoRA, 2e-5 in full unless given'),
    epochs: shared.epochs.unwrap().default(1).describe('passes over the first domain; ignored when maxSteps is given'),
    packing: shared.packing.unwrap().default(true).describe('lay documents into bins; they do not see each other'),
    domains: z.array(domain).min(1).describe('what is learnt; an epoch is one pass over the first of them'),
    curriculum: z
      .union([z.enum(['none', 'length', 'score']), z.strictObject({ stages: z.array(stage).min(1) })])
      .default('none')
      .describe(
        'none: shuffled; length: short documents first; score: first those that the model finds easy as it starts; stages: ' +
          'mixtures that follow each other',
      ),
    trainLayers: layers
      .optional()
      .describe('only these layers, in full: their indices, {last: n} or {first: n}; needs full'),
  })
  .superRefine((options, context) => {
    const evaluated = options.domains.find((each) => each.evalDataset !== undefined)?.evalDataset;
    const [first] = options.domains;
    if (!first) return;
    checkTrainerOptions({ ...options, dataset: first.dataset, evalDataset: evaluated }, context);
    const wrong = (at: (string | number)[], message: string) => context.addIssue({ code: 'custom', path: at, message });
    const names = options.domains.map(({ name }) => name);
    for (const [i, name] of names.entries()) {
      if (names.indexOf(name) < i) wrong(['domains', i, 'name'], `another name than ${name}, which is taken`);
    }
    const weighed = options.domains.filter(({ weight }) => weight !== undefined).length;
    if (weighed > 0 && weighed < names.length) wrong(['domains'], 'a weight for every domain, or for none');
    if (options.trainLayers !== undefined && !options.full) wrong(['trainLayers'], 'with full: true only');
    if (typeof options.curriculum !== 'object') return;
    for (const [i, { weights }] of options.curriculum.stages.entries()) {
      const unknown = Object.keys(weights).find((name) => !names.includes(name));
      const at = ['curriculum', 'stages', i, 'weights'];
      if (unknown !== undefined) wrong([...at, unknown], `a name of a domain: ${names.join(', ')}`);
      if (!Object.values(weights).some((weight) => weight > 0)) wrong(at, 'a weight above 0 for some domain');
    }
  });

export type PretrainOptions = z.output<typeof pretrainOptions>;
export type DomainOptions = PretrainOptions['domains'][number];
