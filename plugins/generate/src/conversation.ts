import type { ChatMessage, ServedModel } from './served-model.js';

/** A conversation, kept short enough for the model that it is held with. */
export class Conversation {
  private messages: ChatMessage[] = [];
  private system: string | undefined;

  constructor(
    private readonly model: ServedModel,
    system?: string,
  ) {
    this.system = system;
  }

  get length(): number {
    return this.messages.length;
  }

  /** Replaces the system message and starts over; an empty text removes it. */
  setSystem(text: string): void {
    this.system = text === '' ? undefined : text;
    this.reset();
  }

  /** Forgets everything but the system message. */
  reset(): void {
    this.messages = [];
  }

  say(content: string): void {
    this.messages.push({ role: 'user', content });
  }

  /** Keeps what the model said, also when it was cut short: it is on the screen. */
  heard(content: string): void {
    this.messages.push({ role: 'assistant', content });
  }

  /** Takes the last message of the user back, after a failure. */
  unsay(): void {
    if (this.messages.at(-1)?.role === 'user') this.messages.pop();
  }

  /**
   * The tokens to continue. The oldest turns are forgotten while there is no room for `reply` more tokens.
   * @returns the tokens, and how many turns were forgotten for them
   */
  async prompt(reply: number): Promise<{ tokens: ArrayLike<number>; forgotten: number }> {
    let forgotten = 0;
    for (;;) {
      const tokens = await this.render();
      if (tokens.length + reply <= this.model.contextLength || this.messages.length <= 1) return { tokens, forgotten };
      // A turn is the user's message and the answer to it.
      this.messages.splice(0, this.messages[1]?.role === 'assistant' ? 2 : 1);
      forgotten++;
    }
  }

  private render(): Promise<ArrayLike<number>> {
    const system = this.system === undefined ? [] : [{ role: 'system', content: this.system }];
    const text = this.model.tokenizer.applyChatTemplate([...system, ...this.messages], { addGenerationPrompt: true });
    return this.model.tokenizer.encode(text, { addSpecialTokens: false });
  }
}
