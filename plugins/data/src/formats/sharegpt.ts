import { z } from 'zod';
import { checkConversation, defineFormat } from './format.js';
import { turnMessages, turnSchema } from './sharegpt-turns.js';
import { parseTools } from './tools.js';

const row = z.object({
  conversations: z.array(turnSchema).min(1),
  system: z.string().nullish(),
  tools: z.union([z.string(), z.array(z.unknown())]).nullish(),
});

/** `conversations` of `{from, value}`, as FastChat and LLaMA-Factory read it. */
export const format = defineFormat<z.infer<typeof row>>({
  id: 'sharegpt',
  fields: 'conversations: [{from, value}]; system, tools optional',
  schema: row,
  module: import.meta.url,
  recognise(row) {
    if (!Array.isArray(row.conversations)) return undefined;
    const first: unknown = row.conversations[0];
    return typeof first === 'object' && first !== null && 'from' in first
      ? "rows have 'conversations' with 'from' and 'value'"
      : undefined;
  },
  examples(row) {
    const messages = turnMessages(row.conversations, 'conversations', row.system);
    checkConversation(messages, 'conversations');
    const tools = parseTools(row.tools);
    return [{ kind: 'conversation', messages, ...(tools ? { tools } : {}) }];
  },
});
