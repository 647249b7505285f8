import { z } from 'zod';
import { answerExample } from './answer.js';
import { defineFormat, RowError } from './format.js';
import { messageSchema } from './messages.js';

const side = z.union([z.string(), z.array(messageSchema).min(1)]);

const row = z.object({
  prompt: side.optional(),
  completion: side.optional(),
  messages: z.array(messageSchema).min(2).optional(),
  label: z.boolean(),
});

/**
 * One answer and whether it is a good one, as KTO learns from it: `prompt`, `completion` and `label` as TRL has them, or
 * `messages` and `label` as LLaMA-Factory does, where the last turn is the answer.
 */
export const format = defineFormat<z.infer<typeof row>>({
  id: 'unpaired-preference',
  fields: 'prompt, completion, label: true | false (or messages, label)',
  schema: row,
  gives: 'judgements',
  module: import.meta.url,
  recognise(row) {
    if (typeof row.label !== 'boolean') return undefined;
    if ('prompt' in row && 'completion' in row) return "rows have 'prompt', 'completion' and 'label'";
    return Array.isArray(row.messages) ? "rows have 'messages' and 'label'" : undefined;
  },
  examples({ prompt, completion, messages, label }, options) {
    const verdict = label ? 'chosen' : 'rejected';
    if (messages) {
      const answer = messages.slice(-1);
      return [answerExample({ prompt: messages.slice(0, -1), answer, field: 'messages', verdict }, options)];
    }
    if (prompt === undefined) throw new RowError('prompt', 'missing');
    if (completion === undefined) throw new RowError('completion', 'missing');
    return [answerExample({ prompt, answer: completion, field: 'completion', verdict }, options)];
  },
});
