import { apiErrors } from './api-error.js';

export interface QueueLimits {
  /** Sequences that may wait for their first token. */
  readonly queuedRequests: number;
  /** Their tokens, prompt and completion. */
  readonly queuedTokens: number;
}

/** A request's place: counted as queued until it started, as active until it is released. */
export interface Ticket {
  /** One of the request's sequences got its first token. */
  started(): void;
  /** The request is over, however it ended. Safe to call twice. */
  release(): void;
}

/**
 * Bounds what waits, by requests and by tokens. A request that is alone is always let in, however large: otherwise it
 * could never be served.
 */
export class AdmissionQueue {
  private queuedRequests = 0;
  private queuedTokens = 0;
  private active = 0;
  private lastStart = 0;
  /** Smoothed milliseconds between starts while others waited. */
  private startInterval = 1000;
  private readonly idle: (() => void)[] = [];

  constructor(private limits: QueueLimits) {}

  replaceLimits(limits: QueueLimits): void {
    this.limits = limits;
  }

  get activeRequests(): number {
    return this.active;
  }

  get state(): { queuedRequests: number; queuedTokens: number; limits: QueueLimits; retrySeconds: number } {
    return {
      queuedRequests: this.queuedRequests,
      queuedTokens: this.queuedTokens,
      limits: this.limits,
      retrySeconds: this.retrySeconds,
    };
  }

  /** When a place is likely to be free: the time between two starts, within reason. */
  get retrySeconds(): number {
    return Math.min(60, Math.max(0.5, this.startInterval / 1000));
  }

  /**
   * Takes a place for a request of `sequences` sequences with `tokens` tokens in all; throws a 429 when there is none.
   */
  enter(sequences: number, tokens: number): Ticket {
    const { queuedRequests, queuedTokens } = this.limits;
    if (this.queuedRequests > 0) {
      if (this.queuedRequests + sequences > queuedRequests) {
        throw apiErrors.queueFull(`${this.queuedRequests} of ${queuedRequests} requests wait`, this.retrySeconds);
      }
      if (this.queuedTokens + tokens > queuedTokens) {
        throw apiErrors.queueFull(`${this.queuedTokens} of ${queuedTokens} tokens wait`, this.retrySeconds);
      }
    }
    this.queuedRequests += sequences;
    this.queuedTokens += tokens;
    this.active++;
    let waiting = sequences;
    let waitingTokens = tokens;
    let released = false;
    const leaveQueue = (count: number) => {
      const share = count === waiting ? waitingTokens : Math.floor((waitingTokens * count) / waiting);
      waiting -= count;
      waitingTokens -= share;
      this.queuedRequests -= count;
      this.queuedTokens -= share;
    };
    return {
      started: () => {
        if (waiting === 0) return;
        leaveQueue(1);
        this.noteStart();
      },
      release: () => {
        if (released) return;
        released = true;
        if (waiting > 0) leaveQueue(waiting);
        this.active--;
        if (this.active === 0) for (const resolve of this.idle.splice(0)) resolve();
      },
    };
  }

  /** Resolves when no request is active. */
  whenIdle(): Promise<void> {
    if (this.active === 0) return Promise.resolve();
    return new Promise((resolve) => this.idle.push(resolve));
  }

  private noteStart(): void {
    const now = performance.now();
    if (this.lastStart > 0 && this.queuedRequests > 0) {
      this.startInterval += 0.2 * (now - this.lastStart - this.startInterval);
    }
    this.lastStart = now;
  }
}
