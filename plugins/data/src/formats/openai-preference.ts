import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { answerExample } from './answer.js';
import { defineFormat, RowError } from './format.js';
import { messageSchema } from './messages.js';

const row = z.object({
  input: z.object({ messages: z.array(messageSchema).min(1) }),
  preferred_output: z.array(messageSchema).min(1),
  non_preferred_output: z.array(messageSchema).min(1),
});

/** A conversation and two answers, as OpenAI's fine-tuning by DPO reads them. */
export const format = defineFormat<z.infer<typeof row>>({
  id: 'openai-preference',
  fields: 'input: {messages}, preferred_output, non_preferred_output: messages',
  schema: row,
  gives: 'pairs',
  module: import.meta.url,
  recognise(row) {
    if (!('preferred_output' in row && 'non_preferred_output' in row)) return undefined;
    return "rows have 'preferred_output' and 'non_preferred_output'";
  },
  examples({ input, preferred_output: chosen, non_preferred_output: rejected }, options) {
    if (isDeepStrictEqual(chosen, rejected)) {
      throw new RowError('non_preferred_output', 'the same as preferred_output: nothing is preferred');
    }
    const prompt = input.messages;
    return [
      answerExample({ prompt, answer: chosen, field: 'preferred_output', verdict: 'chosen' }, options),
      answerExample({ prompt, answer: rejected, field: 'non_preferred_output', verdict: 'rejected' }, options),
    ];
  },
});
