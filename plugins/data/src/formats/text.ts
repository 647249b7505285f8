import { z } from 'zod';
import { defineFormat, RowError } from './format.js';

const row = z.object({ text: z.string() });

/** Plain text, every token of which is learnt: continued pre-training, or rows that were rendered elsewhere. */
export const format = defineFormat<z.infer<typeof row>>({
  id: 'text',
  fields: 'text',
  schema: row,
  module: import.meta.url,
  recognise: (row) => ('text' in row ? "rows have 'text'" : undefined),
  examples({ text }) {
    if (text === '') throw new RowError('text', 'empty');
    return [{ kind: 'text', text }];
  },
});
