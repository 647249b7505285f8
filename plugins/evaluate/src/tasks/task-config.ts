import { z } from 'zod';

/** Keys of lm-evaluation-harness that name or file a task, and change no figure. */
const filed = {
  tag: z.unknown().optional(),
  group: z.unknown().optional(),
  task_alias: z.string().optional(),
  should_decontaminate: z.unknown().optional(),
  doc_to_decontamination_query: z.unknown().optional(),
  dataset_name: z.string().nullish(),
  unsafe_code: z.literal(false).optional(),
};

const template = z.union([z.string(), z.int()]);
const choices = z.union([z.string(), z.array(z.string()), z.record(z.string(), z.string())]);

const metric = z.strictObject({
  metric: z.string(),
  aggregation: z.string().optional(),
  higher_is_better: z.boolean().optional(),
  ignore_case: z.boolean().default(false),
  ignore_punctuation: z.boolean().default(false),
  ignore_numbers: z.boolean().default(false),
  regexes_to_ignore: z.array(z.string()).default([]),
});

const filter = z.strictObject({
  name: z.string(),
  filter: z.array(z.looseObject({ function: z.string() })),
});

const fewshotConfig = z.strictObject({
  sampler: z.enum(['default', 'first_n']).default('default'),
  split: z.string().optional(),
  samples: z.array(z.record(z.string(), z.unknown())).optional(),
  fewshot_indices: z.array(z.int()).optional(),
  doc_to_text: template.optional(),
  doc_to_choice: choices.optional(),
  doc_to_target: z.union([template, z.array(z.string())]).optional(),
  fewshot_delimiter: z.string().optional(),
  target_delimiter: z.string().optional(),
});

/** A task as a task file of lm-evaluation-harness (version 0.4) describes it, as far as it needs no Python. */
export const taskConfig = z.strictObject({
  ...filed,
  task: z.string().min(1),
  dataset_path: z.string().optional(),
  dataset_kwargs: z
    .looseObject({
      data_files: z
        .union([z.string(), z.array(z.string()), z.record(z.string(), z.union([z.string(), z.array(z.string())]))])
        .optional(),
      data_dir: z.string().optional(),
    })
    .nullish(),
  training_split: z.string().nullish(),
  validation_split: z.string().nullish(),
  test_split: z.string().nullish(),
  fewshot_split: z.string().nullish(),
  output_type: z
    .enum(['multiple_choice', 'loglikelihood', 'loglikelihood_rolling', 'generate_until'])
    .default('generate_until'),
  description: z.string().default(''),
  doc_to_text: template.default(''),
  doc_to_target: z.union([template, z.array(z.string())]).default(''),
  doc_to_choice: choices.optional(),
  target_delimiter: z.string().default(' '),
  fewshot_delimiter: z.string().default('\n\n'),
  fewshot_config: fewshotConfig.nullish(),
  num_fewshot: z.int().min(0).nullish(),
  metric_list: z.array(metric).optional(),
  filter_list: z.array(filter).nullish(),
  generation_kwargs: z
    .strictObject({
      until: z.union([z.string(), z.array(z.string())]).optional(),
      max_gen_toks: z.int().positive().optional(),
      max_length: z.int().positive().optional(),
      do_sample: z.boolean().optional(),
      temperature: z.number().min(0).optional(),
      top_p: z.number().optional(),
      top_k: z.int().optional(),
    })
    .nullish(),
  repeats: z.literal(1, { error: 'answers are generated once' }).optional(),
  metadata: z.looseObject({ version: z.union([z.number(), z.string()]).optional() }).nullish(),
});

export type TaskConfig = z.output<typeof taskConfig>;
export type MetricConfig = z.output<typeof metric>;
