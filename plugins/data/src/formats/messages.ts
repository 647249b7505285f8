import { z } from 'zod';
import { checkConversation, defineFormat, type Message } from './format.js';
import { parseTools } from './tools.js';

const textPart = z.object({ type: z.literal('text'), text: z.string() });

/** A message as OpenAI's chat API writes it. Parts of the content that are not text are refused. */
export const messageSchema = z
  .object({
    role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
    content: z.union([z.string(), z.array(textPart)]).nullish(),
    name: z.string().optional(),
    tool_calls: z.array(z.unknown()).nullish(),
    tool_call_id: z.string().nullish(),
  })
  .transform((message): Message => {
    const { content } = message;
    return {
      role: message.role,
      content: Array.isArray(content) ? content.map((part) => part.text).join('') : (content ?? ''),
      ...(message.name === undefined ? {} : { name: message.name }),
      ...(message.tool_calls?.length ? { tool_calls: message.tool_calls } : {}),
      ...(message.tool_call_id ? { tool_call_id: message.tool_call_id } : {}),
    };
  });

const row = z.object({
  messages: z.array(messageSchema).min(1),
  tools: z.union([z.string(), z.array(z.unknown())]).nullish(),
});

/** `messages` of `{role, content}`, as OpenAI's fine-tuning and TRL read it. */
export const format = defineFormat<z.infer<typeof row>>({
  id: 'messages',
  fields: 'messages: [{role, content}]; tools optional',
  schema: row,
  module: import.meta.url,
  recognise(row) {
    if (!Array.isArray(row.messages)) return undefined;
    const first: unknown = row.messages[0];
    return typeof first === 'object' && first !== null && 'role' in first
      ? "rows have 'messages' with 'role' and 'content'"
      : undefined;
  },
  examples(row) {
    checkConversation(row.messages, 'messages');
    const tools = parseTools(row.tools);
    return [{ kind: 'conversation', messages: row.messages, ...(tools ? { tools } : {}) }];
  },
});
