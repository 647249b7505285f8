import type { RenderedConversation, Tokenizer } from '@largeforge/engine';
import type { Message } from '../formats/format.js';

/** What tokenising rows needs of a tokenizer. */
export interface RowTokenizer extends Pick<Tokenizer, 'eosTokenIds' | 'encode' | 'encodeWithOffsets' | 'decode'> {
  /** The conversation by the chat template; `mask` is 1 on what the assistant says, its end-of-turn token included. */
  renderConversation(
    messages: readonly Message[],
    options: { tools?: readonly unknown[] },
  ): Promise<Pick<RenderedConversation, 'tokens' | 'mask'>>;
}
