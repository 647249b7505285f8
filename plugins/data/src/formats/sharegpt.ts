import { z } from 'zod';
import { checkConversation, defineFormat, type Message, RowError } from './format.js';
import { parseTools } from './tools.js';

const row = z.object({
  conversations: z.array(z.object({ from: z.string(), value: z.string() })).min(1),
  system: z.string().nullish(),
  tools: z.union([z.string(), z.array(z.unknown())]).nullish(),
});

/** Names that ShareGPT exports give the speakers. A call of a function is text that the model must produce. */
const roles: Readonly<Record<string, string>> = {
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  chatgpt: 'assistant',
  bing: 'assistant',
  bard: 'assistant',
  bot: 'assistant',
  model: 'assistant',
  assistant: 'assistant',
  function_call: 'assistant',
  system: 'system',
  observation: 'tool',
  tool: 'tool',
  function_response: 'tool',
};

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
    const messages: Message[] = row.system ? [{ role: 'system', content: row.system }] : [];
    for (const [turn, { from, value }] of row.conversations.entries()) {
      const role = roles[from.toLowerCase()];
      if (role === undefined) {
        throw new RowError(
          `conversations[${turn}].from`,
          `unknown speaker '${from}' (known: ${Object.keys(roles).join(', ')})`,
        );
      }
      messages.push({ role, content: value });
    }
    checkConversation(messages, 'conversations');
    const tools = parseTools(row.tools);
    return [{ kind: 'conversation', messages, ...(tools ? { tools } : {}) }];
  },
});
