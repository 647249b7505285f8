export interface BreakerSettings {
  /** Failures in a row that open it. */
  readonly failures: number;
  /** How long it stays open, in milliseconds, before one request is let through to try. */
  readonly openMs: number;
  /** Successes of such tries that close it. */
  readonly successes: number;
}

export const defaultBreaker: BreakerSettings = { failures: 5, openMs: 30_000, successes: 2 };

/**
 * Keeps requests from an expert that fails (Nygard, Release It!): closed, all pass; open, none; half-open, one at a time
 * to try whether it works again.
 */
export class CircuitBreaker {
  private failures = 0;
  private successes = 0;
  private openedAt: number | undefined;
  private trying = false;

  constructor(
    private readonly settings: BreakerSettings = defaultBreaker,
    private readonly now: () => number = Date.now,
  ) {}

  get state(): 'closed' | 'open' | 'half-open' {
    if (this.openedAt === undefined) return 'closed';
    return this.now() - this.openedAt < this.settings.openMs ? 'open' : 'half-open';
  }

  /** Whether a request would be let through now. */
  get allows(): boolean {
    const { state } = this;
    return state === 'closed' || (state === 'half-open' && !this.trying);
  }

  /** Takes the right to send one request; its outcome must be told with `succeeded`, `failed` or `abandoned`. */
  enter(): boolean {
    if (!this.allows) return false;
    if (this.state === 'half-open') this.trying = true;
    return true;
  }

  succeeded(): void {
    this.trying = false;
    this.failures = 0;
    if (this.openedAt === undefined || ++this.successes < this.settings.successes) return;
    this.openedAt = undefined;
    this.successes = 0;
  }

  failed(): void {
    this.trying = false;
    this.successes = 0;
    this.failures++;
    if (this.openedAt !== undefined || this.failures >= this.settings.failures) this.openedAt = this.now();
  }

  /** The request ended without telling anything of the expert: its client hung up, or its request was wrong. */
  abandoned(): void {
    this.trying = false;
  }
}
