import type { Example } from '../formats/format.js';
import type { RowTokenizer } from './row-tokenizer.js';

/**
 * Which tokens are targets of the loss: what the assistant says (in prompt-completion rows: the completion), only its
 * last turn, or every token. `auto` is `assistant`; plain text is always learnt whole.
 */
export type TrainOn = 'auto' | 'assistant' | 'last-turn' | 'all';

export interface TokenisedExample {
  readonly tokens: Int32Array;
  readonly mask: Uint8Array;
  /** Prompt and completion had to be tokenised apart, because a token would have reached across their border. */
  readonly split: boolean;
}

/**
 * Tokens of an example and which of them are targets. Targets are told by position, never by token id.
 * @throws Error saying why the row cannot be masked
 */
export async function tokeniseExample(
  example: Example,
  tokenizer: RowTokenizer,
  trainOn: TrainOn,
): Promise<TokenisedExample> {
  switch (example.kind) {
    case 'conversation': {
      const { tokens, mask } = await tokenizer.renderConversation(
        example.messages,
        example.tools ? { tools: example.tools } : {},
      );
      if (trainOn === 'all') return { tokens, mask: mask.fill(1), split: false };
      const skipped = example.messages.slice(0, example.learnFrom ?? 0).filter((m) => m.role === 'assistant').length;
      const turns = example.messages.filter((message) => message.role === 'assistant').length;
      const first = trainOn === 'last-turn' ? turns - 1 : skipped;
      return { tokens, mask: first > 0 ? withoutTurns(mask, first, turns) : mask, split: false };
    }
    case 'completion':
      return tokeniseCompletion(example.prompt, example.completion, tokenizer, trainOn);
    case 'text': {
      const tokens = withStop(await tokenizer.encode(example.text), tokenizer);
      return { tokens, mask: new Uint8Array(tokens.length).fill(1), split: false };
    }
  }
}

/**
 * Prompt and completion tokenised as one text; a token that holds any of the completion is a target. Where one token
 * reaches across the border, the two are tokenised apart: when the model is used, it sees the prompt's own tokens.
 */
async function tokeniseCompletion(
  prompt: string,
  completion: string,
  tokenizer: RowTokenizer,
  trainOn: TrainOn,
): Promise<TokenisedExample> {
  const joint = await tokenizer.encodeWithOffsets(prompt + completion);
  const border = prompt.length;
  const first = joint.tokens.findIndex((_, token) => (joint.offsets[2 * token + 1] as number) > border);
  let tokens = joint.tokens;
  let start = first === -1 ? tokens.length : first;
  const split = first !== -1 && (joint.offsets[2 * first] as number) < border;
  if (split) {
    const before = await tokenizer.encode(prompt);
    const head = tokenizer.eosTokenIds.includes(before.at(-1) ?? -1) ? before.subarray(0, -1) : before;
    const after = await tokenizer.encode(completion, { addSpecialTokens: false });
    tokens = concat(head, after);
    start = head.length;
  }
  tokens = withStop(tokens, tokenizer);
  const mask = new Uint8Array(tokens.length);
  mask.fill(1, trainOn === 'all' ? 0 : start);
  return { tokens, mask, split };
}

/** The tokens, ended by a stop token. */
function withStop(tokens: Int32Array, tokenizer: RowTokenizer): Int32Array {
  const [stop] = tokenizer.eosTokenIds;
  if (stop === undefined || tokenizer.eosTokenIds.includes(tokens.at(-1) ?? -1)) return tokens;
  return concat(tokens, Int32Array.of(stop));
}

function concat(a: Int32Array, b: Int32Array): Int32Array {
  const joined = new Int32Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}

/** The mask without the first `skipped` of the assistant's turns. */
function withoutTurns(mask: Uint8Array, skipped: number, turns: number): Uint8Array {
  const starts: number[] = [];
  for (let t = 0; t < mask.length; t++) if (mask[t] === 1 && mask[t - 1] !== 1) starts.push(t);
  if (starts.length !== turns) {
    throw new Error(`the chat template shows ${starts.length} assistant turns of ${turns}; they cannot be told apart`);
  }
  return mask.fill(0, 0, starts[skipped] ?? mask.length);
}
