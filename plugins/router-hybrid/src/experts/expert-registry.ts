import { existsSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { reasonOf } from '@largeforge/core';
import { readJson, writeJson } from '@largeforge/engine';
import { z } from 'zod';
import { routerErrors } from '../errors.js';
import { KeywordStrategy } from '../keywords/keyword-strategy.js';
import type { Expert, ExpertLoad } from '../router/expert.js';
import type { BreakerSettings } from './circuit-breaker.js';
import { type ExpertSettings, expertSchema } from './expert-settings.js';
import { type ExpertOrigin, LiveExpert } from './live-expert.js';

const fileSchema = z.object({ experts: z.array(expertSchema) });

export interface RegistryOptions {
  /** Where experts that the API registers are kept; without it they are forgotten at the end. */
  readonly file?: string;
  readonly breaker?: BreakerSettings;
}

/** The experts that there are. They come and go while requests run. */
export class ExpertRegistry {
  private readonly experts = new Map<string, LiveExpert>();
  /** The experts as the router reads them; a new array only when they change, since routers prepare for each. */
  private described: readonly Expert[] = [];

  /** @throws LF_ROUTER_EXPERTS_FILE when the file cannot be used; it is left as it is */
  constructor(
    configured: readonly ExpertSettings[],
    private readonly options: RegistryOptions = {},
  ) {
    for (const settings of configured) this.add(settings, 'config');
    for (const settings of this.kept()) if (!this.experts.has(settings.name)) this.add(settings, 'api');
  }

  list(): readonly LiveExpert[] {
    return [...this.experts.values()];
  }

  get(name: string): LiveExpert | undefined {
    return this.experts.get(name);
  }

  /** For the router; the same array as long as no expert comes or goes. */
  get candidates(): readonly Expert[] {
    return this.described;
  }

  /** Experts that cannot be chosen now. */
  get unavailable(): ReadonlySet<string> {
    return new Set(this.list().flatMap((expert) => (expert.available ? [] : [expert.name])));
  }

  /** How busy an expert is now. */
  readonly load = (name: string): ExpertLoad | undefined => this.experts.get(name)?.load;

  /**
   * Registers an expert, or replaces the one of its name: what runs there ends there.
   * @throws LF_ROUTER_KEYWORD_RULE when a rule cannot be used, LF_ROUTER_EXPERTS_UNWRITABLE when it cannot be kept;
   * nothing changes then
   */
  register(settings: ExpertSettings): LiveExpert {
    checkRules(settings);
    const others = this.fromApi().filter(({ name }) => name !== settings.name);
    this.keep([...others, settings]);
    return this.add(settings, 'api');
  }

  /**
   * Makes the config's experts these. Those that stay as they are keep their state and their requests; those that the
   * API registered stay, unless the config now names one of them.
   * @throws LF_ROUTER_KEYWORD_RULE when a rule cannot be used; nothing changes then
   */
  configure(configured: readonly ExpertSettings[]): void {
    for (const settings of configured) checkRules(settings);
    const named = new Set(configured.map(({ name }) => name));
    for (const expert of this.list()) {
      if (expert.origin !== 'config' || named.has(expert.name)) continue;
      expert.draining = true;
      this.experts.delete(expert.name);
    }
    for (const settings of configured) {
      const known = this.experts.get(settings.name);
      const same = known?.origin === 'config' && isDeepStrictEqual(known.settings, settings);
      if (!same) this.add(settings, 'config');
    }
    this.describe();
    this.keep(this.fromApi());
  }

  /**
   * Removes an expert: no new requests at once, and resolves when the running ones have ended.
   * @returns how many still ran when the time was up
   * @throws LF_ROUTER_EXPERTS_UNWRITABLE when the removal cannot be kept; nothing changes then
   */
  async remove(name: string, drainMs: number): Promise<number> {
    const expert = this.experts.get(name);
    if (!expert) return 0;
    this.keep(this.fromApi().filter((other) => other.name !== name));
    expert.draining = true;
    this.experts.delete(name);
    this.describe();
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, drainMs);
    });
    await Promise.race([expert.whenIdle(), timeout]);
    clearTimeout(timer);
    return expert.active;
  }

  private add(settings: ExpertSettings, origin: ExpertOrigin): LiveExpert {
    checkRules(settings);
    const replaced = this.experts.get(settings.name);
    if (replaced) replaced.draining = true;
    const expert = new LiveExpert(settings, origin, this.options.breaker);
    this.experts.set(settings.name, expert);
    this.describe();
    return expert;
  }

  private describe(): void {
    this.described = this.list().map(({ settings }) => settings);
  }

  private kept(): readonly ExpertSettings[] {
    const { file } = this.options;
    if (file === undefined || !existsSync(file)) return [];
    try {
      return fileSchema.parse(readJson(file)).experts;
    } catch (error) {
      throw routerErrors.LF_ROUTER_EXPERTS_FILE({ file, reason: reasonOf(error) }, { cause: error });
    }
  }

  private fromApi(): ExpertSettings[] {
    return this.list().flatMap(({ origin, settings }) => (origin === 'api' ? [settings] : []));
  }

  /** Writes the experts of the API to the file, where there is one. */
  private keep(experts: readonly ExpertSettings[]): void {
    const { file } = this.options;
    if (file === undefined) return;
    try {
      writeJson(file, { experts });
    } catch (error) {
      throw routerErrors.LF_ROUTER_EXPERTS_UNWRITABLE({ file, reason: reasonOf(error) }, { cause: error });
    }
  }
}

/** A rule that cannot be used must not stop the decisions on everybody else. */
function checkRules({ name, keywords }: ExpertSettings): void {
  new KeywordStrategy(new Map([[name, keywords]]));
}
