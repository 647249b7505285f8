import { z } from 'zod';
import { type Message, RowError } from './format.js';

/** A turn as ShareGPT exports it. */
export const turnSchema = z.object({ from: z.string(), value: z.string() });

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

/**
 * Turns as messages, the system prompt first.
 * @param field where the turns stand in the row, for messages
 * @throws RowError for an unknown speaker
 */
export function turnMessages(
  turns: readonly z.infer<typeof turnSchema>[],
  field: string,
  system?: string | null,
): Message[] {
  const messages: Message[] = system ? [{ role: 'system', content: system }] : [];
  for (const [turn, { from, value }] of turns.entries()) {
    const role = roles[from.toLowerCase()];
    if (role === undefined) {
      const known = Object.keys(roles).join(', ');
      throw new RowError(`${field}[${turn}].from`, `unknown speaker '${from}' (known: ${known})`);
    }
    messages.push({ role, content: value });
  }
  return messages;
}
