import { z } from 'zod';
import { answerExample } from './answer.js';
import { defineFormat } from './format.js';
import { turnMessages, turnSchema } from './sharegpt-turns.js';

const row = z.object({
  conversations: z.array(turnSchema).min(1),
  chosen: turnSchema,
  rejected: turnSchema,
  system: z.string().nullish(),
});

/** A ShareGPT conversation and two turns that could follow it, as LLaMA-Factory ranks them. */
export const format = defineFormat<z.infer<typeof row>>({
  id: 'sharegpt-preference',
  fields: 'conversations: [{from, value}], chosen: {from, value}, rejected: {from, value}; system optional',
  schema: row,
  gives: 'pairs',
  module: import.meta.url,
  recognise(row) {
    const all = 'conversations' in row && 'chosen' in row && 'rejected' in row;
    return all ? "rows have 'conversations', 'chosen' and 'rejected'" : undefined;
  },
  examples({ conversations, system, ...turns }, options) {
    const prompt = turnMessages(conversations, 'conversations', system);
    return (['chosen', 'rejected'] as const).map((verdict) => {
      const answer = turnMessages([turns[verdict]], verdict);
      return answerExample({ prompt, answer, field: verdict, verdict }, options);
    });
  },
});
