import { z } from 'zod';

const path = z.string().min(1);

/** Options of a data set, as trainers take them in their `with:`. */
export const dataOptions = z.strictObject({
  paths: z.union([path.transform((one) => [one]), z.array(path).min(1)]).describe('data files or folders of them'),
  format: z
    .string()
    .default('auto')
    .describe(
      'auto, or one of the data formats: messages, sharegpt, alpaca, prompt-completion, text; with two answers preference, ' +
        'sharegpt-preference; with a label unpaired-preference',
    ),
  columns: z
    .record(z.string(), z.string())
    .default({})
    .describe("fields of the file for the format's own: {prompt: question, completion: answer}"),
  style: z
    .enum(['auto', 'chat', 'plain'])
    .default('auto')
    .describe('whether prompts become chat turns; auto: alpaca rows do if the tokenizer has a chat template'),
  trainOn: z
    .enum(['auto', 'assistant', 'last-turn', 'all'])
    .default('auto')
    .describe("targets of the loss: the assistant's turns or the completion (auto), the last turn, or every token"),
  chatTemplate: z.string().optional().describe('Jinja file, or chatml, instead of the template of the model'),
  maxLength: z.int().min(2).default(1024).describe('tokens of a row at most'),
  overlong: z
    .enum(['error', 'truncate', 'drop', 'split'])
    .default('error')
    .describe('what to do with rows that are longer; error stops and says what the others would cost'),
  maxRejected: z
    .number()
    .min(0)
    .default(0.05)
    .describe('unusable rows that are tolerated: a share below 1, else a count'),
  stopToken: z
    .enum(['require', 'ignore'])
    .default('require')
    .describe('require: at least one row must teach the model to stop'),
  sampleBy: z.enum(['line', 'paragraph', 'document']).default('line').describe('what a row of a plain text file is'),
  maxRowBytes: z
    .int()
    .min(1024)
    .default(64 * 2 ** 20)
    .describe('bytes of a row at most'),
  threads: z.int().min(0).default(0).describe('worker threads that tokenise; 0 chooses by the machine'),
});

export type DataOptions = z.infer<typeof dataOptions>;
