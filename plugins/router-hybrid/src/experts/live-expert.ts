import type { ExpertLoad } from '../router/expert.js';
import { type BreakerSettings, CircuitBreaker } from './circuit-breaker.js';
import type { ExpertSettings } from './expert-settings.js';

/** A time that was measured longer ago than this tells nothing of an expert any more. */
const staleMs = 60_000;

/** Counts requests of all experts: the higher, the later. */
let asked = 0;

/** How much a new latency counts against the mean so far. */
const smoothing = 0.2;

/** Where an expert comes from: the config knows its own ones again at the next start, the API's are kept in a file. */
export type ExpertOrigin = 'config' | 'api';

/** An expert while the server runs: its settings, its requests, and how it is. */
export class LiveExpert {
  readonly breaker: CircuitBreaker;
  /** What the last health check said; an expert is trusted until one fails. */
  healthy = true;
  /** Why it is not healthy. */
  problem: string | undefined;
  draining = false;
  active = 0;
  private latency: number | undefined;
  private measuredAt = 0;
  private lastAsked = 0;
  private idle: (() => void)[] = [];

  constructor(
    readonly settings: ExpertSettings,
    readonly origin: ExpertOrigin,
    breaker?: BreakerSettings,
    now?: () => number,
  ) {
    this.breaker = new CircuitBreaker(breaker, now);
  }

  get name(): string {
    return this.settings.name;
  }

  /** The model to ask for where the expert is served. */
  get model(): string {
    return this.settings.model ?? this.settings.name;
  }

  /** Whether it can be chosen now. */
  get available(): boolean {
    return !this.draining && this.healthy && this.breaker.allows;
  }

  get load(): ExpertLoad {
    const { capacity, cost } = this.settings;
    const known = this.latency !== undefined && Date.now() - this.measuredAt < staleMs;
    return {
      load: this.active / capacity,
      next: (this.active + 1) / capacity,
      lastAsked: this.lastAsked,
      ...(known && { latencyMs: this.latency }),
      ...(cost !== undefined && { cost }),
    };
  }

  /** A request goes to it; call the returned function when it has ended. */
  begin(): () => void {
    this.active++;
    this.lastAsked = ++asked;
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      this.active--;
      if (this.active > 0) return;
      for (const resolve of this.idle.splice(0)) resolve();
    };
  }

  /** Remembers how long it took to begin an answer. */
  answeredAfter(milliseconds: number): void {
    this.measuredAt = Date.now();
    this.latency =
      this.latency === undefined ? milliseconds : (1 - smoothing) * this.latency + smoothing * milliseconds;
  }

  /** Resolves when no request is running. */
  whenIdle(): Promise<void> {
    if (this.active === 0) return Promise.resolve();
    return new Promise((resolve) => this.idle.push(resolve));
  }
}
