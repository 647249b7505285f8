import type { PositionLogprobs, ServedTokenizer } from './models.js';
import type { ChatLogprobs } from './schemas/chat.js';
import type { CompletionLogprobs } from './schemas/completions.js';

/** A token's text; for a part of a character the bytes, written as OpenAI does: `bytes:\xe2\x80`. */
function tokenText(tokenizer: ServedTokenizer, token: number): { text: string; bytes: number[] | null } {
  const text = tokenizer.decode([token], { skipSpecialTokens: false });
  const exact = tokenizer.tokenBytes?.(token);
  if (text.includes('\uFFFD')) {
    if (!exact) return { text, bytes: null };
    const hex = [...exact].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
    return { text: `bytes:${hex}`, bytes: [...exact] };
  }
  return { text, bytes: [...(exact ?? Buffer.from(text))] };
}

// JSON has no infinity; OpenAI's own floor for an impossible token.
const floor = -9999;
const finite = (logprob: number) => (Number.isFinite(logprob) ? logprob : floor);

/** Log probabilities of a chat choice's tokens, as `choices[].logprobs.content`. */
export function chatLogprobs(
  tokenizer: ServedTokenizer,
  positions: readonly PositionLogprobs[],
  top: number,
): ChatLogprobs {
  const entry = (token: number, logprob: number) => {
    const { text, bytes } = tokenText(tokenizer, token);
    return { token: text, logprob: finite(logprob), bytes };
  };
  return {
    content: positions.map((position) => ({
      ...entry(position.token, position.logprob),
      top_logprobs: position.top.slice(0, top).map(({ token, logprob }) => entry(token, logprob)),
    })),
    refusal: null,
  };
}

/** Builds the `logprobs` of a text choice over one or several pieces; offsets count code points of the whole text. */
export class CompletionLogprobsBuilder {
  private offset = 0;

  constructor(
    private readonly tokenizer: ServedTokenizer,
    private readonly top: number,
  ) {}

  /** @param first a token before them, which nothing precedes that could tell its probability */
  piece(positions: readonly PositionLogprobs[], first?: number): CompletionLogprobs {
    const result: CompletionLogprobs = {
      tokens: [],
      token_logprobs: [],
      top_logprobs: this.top > 0 ? [] : null,
      text_offset: [],
    };
    const add = (token: number, logprob: number | null, top: Record<string, number> | null) => {
      const { text } = tokenText(this.tokenizer, token);
      result.tokens.push(text);
      result.token_logprobs.push(logprob);
      result.text_offset.push(this.offset);
      this.offset += codePoints(text.startsWith('bytes:') ? '' : text);
      result.top_logprobs?.push(top);
    };
    if (first !== undefined) add(first, null, null);
    for (const position of positions) add(position.token, finite(position.logprob), this.topOf(position));
    return result;
  }

  private topOf(position: PositionLogprobs): Record<string, number> {
    const entries = position.top.slice(0, this.top);
    // As OpenAI does, the chosen token is always among them.
    const all = entries.some(({ token }) => token === position.token) ? entries : [...entries, position];
    const result: Record<string, number> = {};
    for (const { token, logprob } of all) result[tokenText(this.tokenizer, token).text] ??= finite(logprob);
    return result;
  }
}

/** Length of a text as Python counts it. */
function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
