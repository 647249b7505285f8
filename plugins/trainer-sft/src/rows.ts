import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { defineErrors } from '@largeforge/core';
import { type ChatMessage, memoryRows, type RowSource, type Tokenizer, type TokenRow } from '@largeforge/engine';

const errors = defineErrors({
  LF_SFT_ROW: {
    message: (a: { file: string; line: number; reason: string }) => `${a.file}:${a.line}: ${a.reason}`,
    remedy: () =>
      'Each line is {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}.',
  },
  LF_SFT_TOO_LONG: {
    message: (a: { file: string; rows: number; longest: number; limit: number }) =>
      `${a.rows} rows of ${a.file} are longer than maxLength ${a.limit}; the longest has ${a.longest} tokens`,
    remedy: () => 'Raise maxLength, or take these rows out.',
  },
  LF_SFT_NO_TARGETS: {
    message: (a: { file: string }) => `no row of ${a.file} has anything that the assistant says`,
    remedy: () => 'Rows need messages of the role "assistant".',
  },
});

export interface PreparedRows {
  readonly rows: RowSource<TokenRow>;
  readonly tokens: number;
  readonly targets: number;
  readonly longest: number;
}

/** Reads conversations and tokenises them; only what the assistant says is a target. */
export async function prepareRows(file: string, tokenizer: Tokenizer, maxLength: number): Promise<PreparedRows> {
  const text = readFileSync(file, 'utf8');
  const rows: TokenRow[] = [];
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const { tokens, mask } = await tokenizer.renderConversation(messagesOf(line, file, i + 1));
    rows.push({ tokens, mask });
  }
  const lengths = rows.map((row) => row.tokens.length);
  const longest = Math.max(0, ...lengths);
  const tooLong = lengths.filter((length) => length > maxLength).length;
  if (tooLong > 0) throw errors.LF_SFT_TOO_LONG({ file, rows: tooLong, longest, limit: maxLength });
  const targets = rows.reduce((sum, { mask }) => sum + mask.reduce((a, b) => a + b, 0), 0);
  if (targets === 0) throw errors.LF_SFT_NO_TARGETS({ file });
  const fingerprint = createHash('sha256')
    .update(text)
    .update(tokenizer.chatTemplate?.source ?? '')
    .digest('hex');
  return {
    rows: memoryRows(rows, (row) => row.tokens.length, fingerprint),
    tokens: lengths.reduce((a, b) => a + b, 0),
    targets,
    longest,
  };
}

function messagesOf(line: string, file: string, number: number): ChatMessage[] {
  const fail = (reason: string) => errors.LF_SFT_ROW({ file, line: number, reason });
  let row: { messages?: unknown };
  try {
    row = JSON.parse(line);
  } catch (error) {
    throw fail((error as Error).message);
  }
  const { messages } = row;
  if (!Array.isArray(messages) || messages.length === 0) throw fail('the row has no messages');
  for (const [i, message] of messages.entries()) {
    if (typeof message?.role !== 'string' || typeof message?.content !== 'string') {
      throw fail(`messages[${i}] has no role and content of type string`);
    }
  }
  return messages;
}
