import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { answerExample } from './answer.js';
import { defineFormat, type Message, RowError } from './format.js';
import { messageSchema } from './messages.js';

const side = z.union([z.string(), z.array(messageSchema).min(1)]);

const row = z.object({
  prompt: side.optional(),
  instruction: z.string().optional(),
  input: z.string().nullish(),
  chosen: side,
  rejected: side,
});

type Row = z.infer<typeof row>;

/**
 * A prompt and two answers, as TRL reads preference data: texts or lists of messages. Without a prompt, `chosen` and
 * `rejected` are whole conversations, and the turns that they share are the prompt. `instruction` and `input` are
 * Alpaca's names for it.
 */
export const format = defineFormat<Row>({
  id: 'preference',
  fields: 'prompt, chosen, rejected: texts or messages (or conversations chosen, rejected)',
  schema: row,
  gives: 'pairs',
  module: import.meta.url,
  recognise(row) {
    if (!('chosen' in row && 'rejected' in row) || 'conversations' in row) return undefined;
    return "rows have 'chosen' and 'rejected'";
  },
  examples(row, options) {
    const { prompt, chosen, rejected } = promptOf(row);
    if (isDeepStrictEqual(chosen, rejected)) throw new RowError('rejected', 'the same as chosen: nothing is preferred');
    return [
      answerExample({ prompt, answer: chosen, field: 'chosen', verdict: 'chosen' }, options),
      answerExample({ prompt, answer: rejected, field: 'rejected', verdict: 'rejected' }, options),
    ];
  },
});

/** The prompt, wherever the row has it, and the two answers without it. */
function promptOf({ prompt, instruction, input, chosen, rejected }: Row) {
  if (prompt !== undefined) return { prompt, chosen, rejected };
  if (instruction !== undefined) return { prompt: input ? `${instruction}\n${input}` : instruction, chosen, rejected };
  if (typeof chosen === 'string' || typeof rejected === 'string') {
    throw new RowError('prompt', "missing: without it, 'chosen' and 'rejected' must be lists of messages");
  }
  const shared = sharedTurns(chosen, rejected);
  if (shared === 0) throw new RowError('chosen', 'begins otherwise than rejected: they have no prompt in common');
  return { prompt: chosen.slice(0, shared), chosen: chosen.slice(shared), rejected: rejected.slice(shared) };
}

/** Turns that two conversations begin with; each keeps at least one of its own. */
function sharedTurns(a: readonly Message[], b: readonly Message[]): number {
  const most = Math.min(a.length, b.length) - 1;
  let shared = 0;
  while (shared < most && isDeepStrictEqual(a[shared], b[shared])) shared++;
  return shared;
}
