/** The least that a step computes of prompts, however slow the machine: a prompt must come to an end. */
const LEAST_PROMPT_TOKENS = 32;

/** Steps of fewer tokens say nothing of what a prompt costs: their time is that of reading the weights. */
const TELLING_TOKENS = 24;

/** Share of a new measurement in the average. */
const SHARE = 0.3;

/**
 * How much of prompts a step may compute beside streams that draw a token in it, so that these never wait longer than
 * wanted between two tokens: what that comes to is learnt from the steps themselves, as machines and models differ by
 * orders of magnitude.
 */
export class StepPace {
  private millisecondsPerToken: number | undefined;

  /** @param milliseconds that a step with running streams shall take at most */
  constructor(private readonly milliseconds: number) {}

  get promptTokens(): number {
    if (this.millisecondsPerToken === undefined) return Number.POSITIVE_INFINITY;
    return Math.max(LEAST_PROMPT_TOKENS, Math.floor(this.milliseconds / this.millisecondsPerToken));
  }

  /** A step took this long. */
  note(tokens: number, milliseconds: number): void {
    if (tokens < TELLING_TOKENS) return;
    const measured = milliseconds / tokens;
    const before = this.millisecondsPerToken ?? measured;
    this.millisecondsPerToken = before + SHARE * (measured - before);
  }
}
