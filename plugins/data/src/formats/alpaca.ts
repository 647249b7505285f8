import { z } from 'zod';
import {
  checkConversation,
  defineFormat,
  type Example,
  type Message,
  type ReadingOptions,
  RowError,
} from './format.js';

const instance = z.object({ input: z.string().nullish(), output: z.string() });

const row = z.object({
  instruction: z.string(),
  input: z.string().nullish(),
  output: z.string().optional(),
  /** Self-Instruct's seed tasks: one instruction, several inputs with their outputs. */
  instances: z.array(instance).min(1).optional(),
  system: z.string().nullish(),
  history: z.array(z.tuple([z.string(), z.string()])).nullish(),
});

type Row = z.infer<typeof row>;

/** Stanford Alpaca's fields, and Self-Instruct's, which it grew from. */
export const format = defineFormat<Row>({
  id: 'alpaca',
  fields: 'instruction, output; input, system, history optional (or instances: [{input, output}])',
  schema: row,
  module: import.meta.url,
  recognise(row) {
    if (!('instruction' in row)) return undefined;
    if ('output' in row) return "rows have 'instruction' and 'output'";
    return 'instances' in row ? "rows have 'instruction' and 'instances'" : undefined;
  },
  examples(row, options) {
    const instances = row.instances ?? (row.output === undefined ? [] : [{ input: row.input, output: row.output }]);
    if (instances.length === 0) throw new RowError('output', 'missing');
    return instances.map((instance) => example(row, instance.input ?? '', instance.output, options));
  },
});

function example(row: Row, input: string, output: string, options: ReadingOptions): Example {
  if (options.style === 'plain' || (options.style === 'auto' && !options.hasChatTemplate)) {
    if (row.history?.length) throw new RowError('history', 'earlier turns need a tokenizer with a chat template');
    return { kind: 'completion', prompt: stanfordPrompt(row, input), completion: output };
  }
  const messages: Message[] = [];
  if (row.system) messages.push({ role: 'system', content: row.system });
  for (const [question, answer] of row.history ?? []) {
    messages.push({ role: 'user', content: question }, { role: 'assistant', content: answer });
  }
  messages.push({ role: 'user', content: input === '' ? row.instruction : `${row.instruction}\n${input}` });
  messages.push({ role: 'assistant', content: output });
  checkConversation(messages, 'output');
  return { kind: 'conversation', messages };
}

/** The prompt of the Alpaca paper's release, for base models without a chat template. */
function stanfordPrompt(row: Row, input: string): string {
  const system =
    row.system ||
    (input === ''
      ? 'Below is an instruction that describes a task. Write a response that appropriately completes the request.'
      : 'Below is an instruction that describes a task, paired with an input that provides further context. ' +
        'Write a response that appropriately completes the request.');
  const middle = input === '' ? '' : `### Input:\n${input}\n\n`;
  return `${system}\n\n### Instruction:\n${row.instruction}\n\n${middle}### Response:\n`;
}
