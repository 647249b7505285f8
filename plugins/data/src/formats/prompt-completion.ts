import { z } from 'zod';
import { checkConversation, defineFormat, RowError } from './format.js';
import { messageSchema } from './messages.js';

/** Pairs of names under which data sets keep a prompt and its completion; the first is the format's own. */
const pairs = [
  ['prompt', 'completion'],
  ['prompt', 'response'],
  ['question', 'answer'],
  ['query', 'response'],
  ['input', 'output'],
] as const;

const side = z.union([z.string(), z.array(messageSchema).min(1)]);
const row = z.preprocess(ownNames, z.object({ prompt: side, completion: side }));

/** A prompt and what must follow it: two texts, or two lists of messages. */
export const format = defineFormat<z.infer<typeof row>>({
  id: 'prompt-completion',
  fields: `prompt, completion (or ${pairs
    .slice(1)
    .map((pair) => pair.join(', '))
    .join(' | ')})`,
  schema: row,
  module: import.meta.url,
  recognise(row) {
    const pair = pairs.find(([prompt, completion]) => prompt in row && completion in row);
    return pair ? `rows have '${pair[0]}' and '${pair[1]}'` : undefined;
  },
  examples({ prompt, completion }, options) {
    if (typeof prompt === 'string' && typeof completion === 'string') {
      if (completion === '') throw new RowError('completion', 'empty: there is nothing to learn');
      if (options.style !== 'chat') return [{ kind: 'completion', prompt, completion }];
      return [
        {
          kind: 'conversation',
          messages: [
            { role: 'user', content: prompt },
            { role: 'assistant', content: completion },
          ],
        },
      ];
    }
    if (typeof prompt === 'string' || typeof completion === 'string') {
      throw new RowError('completion', 'prompt and completion must both be texts or both be lists of messages');
    }
    checkConversation(completion, 'completion');
    return [{ kind: 'conversation', messages: [...prompt, ...completion], learnFrom: prompt.length }];
  },
});

/** Renames the first known pair to prompt and completion. */
function ownNames(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || ('prompt' in value && 'completion' in value)) return value;
  const row = value as Record<string, unknown>;
  const pair = pairs.find(([prompt, completion]) => prompt in row && completion in row);
  return pair ? { ...row, prompt: row[pair[0]], completion: row[pair[1]] } : value;
}
