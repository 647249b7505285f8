import { reasonOf } from '@largeforge/core';
import type { ExpertRegistry } from './expert-registry.js';
import type { LiveExpert } from './live-expert.js';

export interface HealthSettings {
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

export const defaultHealth: HealthSettings = { intervalMs: 10_000, timeoutMs: 3_000 };

/** What a server answers that has no list of models. */
const noSuchRoute = new Set([404, 405, 501]);

/** Asks the experts on other servers, again and again, whether they have their model. */
export class HealthChecks {
  private readonly timer: NodeJS.Timeout;
  private running = false;

  constructor(
    private readonly registry: ExpertRegistry,
    private readonly settings: HealthSettings = defaultHealth,
  ) {
    this.timer = setInterval(() => void this.run(), settings.intervalMs);
    this.timer.unref();
  }

  /** One round: every expert with a url, all at once. Rounds never overlap. */
  async run(): Promise<void> {
    if (this.running) return;
    this.running = true;
    try {
      await Promise.all(this.registry.list().map((expert) => this.check(expert)));
    } finally {
      this.running = false;
    }
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private async check(expert: LiveExpert): Promise<void> {
    const { url } = expert.settings;
    if (url === undefined) return;
    try {
      const signal = AbortSignal.timeout(this.settings.timeoutMs);
      const response = await fetch(`${url.replace(/\/$/, '')}/models`, { headers: keyHeaders(expert), signal });
      // Not every compatible server lists its models: that it answers is all there is to know then.
      if (noSuchRoute.has(response.status)) {
        await response.body?.cancel();
        expert.healthy = true;
        expert.problem = undefined;
        return;
      }
      if (!response.ok) throw new Error(`GET ${url}/models answers ${response.status}`);
      const { data = [] } = (await response.json()) as { data?: { id?: unknown }[] };
      if (!data.some(({ id }) => id === expert.model)) throw new Error(`it has no model "${expert.model}"`);
      expert.healthy = true;
      expert.problem = undefined;
    } catch (error) {
      expert.healthy = false;
      expert.problem = reasonOf(error);
    }
  }
}

/** The Authorization header for an expert's server: its own key, never the client's. */
export function keyHeaders({ settings }: LiveExpert): Record<string, string> {
  const key = settings.api_key_env === undefined ? undefined : process.env[settings.api_key_env];
  return key === undefined ? {} : { authorization: `Bearer ${key}` };
}
