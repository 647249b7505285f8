import { randomUUID } from 'node:crypto';
import type { RouteDecision, RouteFiring } from '@largeforge/core';
import type { ExpertRegistry } from '../experts/expert-registry.js';
import type { Decision, Router } from '../router/router.js';
import type { DecisionLog } from './decision-log.js';
import type { RouterMetrics } from './metrics.js';

export interface RoutingRequest {
  readonly query: string;
  readonly prefer?: string | undefined;
  /** What tells a conversation from others; its queries tend to stay with one expert. */
  readonly conversation?: string | undefined;
  /** The conversation begins: there is no earlier expert to stay with, even if another one began alike. */
  readonly begins?: boolean;
}

/** A decision as callers get it: the default expert stands in where no expert is confident enough. */
export interface Routed {
  readonly id: string;
  readonly expert: string | null;
  readonly confidence: number;
  readonly alternatives: readonly { readonly expert: string; readonly confidence: number }[];
  readonly decision: Decision;
}

/** Conversations whose expert is remembered. */
const rememberedConversations = 10_000;

/** Decides on the queries of a running server: over the experts that are there now, with load, plugins, log and metrics. */
export class RoutingDesk {
  private readonly conversations = new Map<string, string>();

  constructor(
    private readonly router: Router,
    readonly registry: ExpertRegistry,
    private readonly parts: {
      readonly defaultExpert?: string | undefined;
      readonly metrics?: RouterMetrics;
      readonly log?: DecisionLog;
      readonly hooks?: RouteFiring;
    } = {},
  ) {}

  async decide({ query, prefer, conversation, begins }: RoutingRequest): Promise<Routed> {
    const { registry, parts } = this;
    const start = performance.now();
    const sticky = conversation === undefined || begins ? undefined : this.conversations.get(conversation);
    const exclude = registry.unavailable;
    const decision = await this.router.decide(query, {
      experts: registry.candidates,
      exclude,
      load: registry.loads,
      ...(prefer !== undefined && { prefer }),
      ...(sticky !== undefined && { sticky }),
    });
    const standIn = this.standIn(exclude);
    const own: RouteDecision = {
      expert: decision.expert ?? standIn,
      confidence: decision.confidence,
      alternatives: decision.scores.filter(({ expert }) => expert !== (decision.expert ?? standIn)),
    };
    const final = await this.withPlugins(query, decision, own);
    const id = `dec_${randomUUID().replaceAll('-', '')}`;
    const milliseconds = performance.now() - start;
    if (conversation !== undefined && final.expert !== null) this.remember(conversation, final.expert);
    parts.metrics?.decided(final.expert, decision, milliseconds);
    parts.log?.decided({ id, query, decision, expert: final.expert, milliseconds });
    return { id, ...final, decision };
  }

  /** Who is asked, in which order: the chosen expert, its own fall-backs, the default, and the others by confidence. */
  chain({ expert, alternatives }: Pick<Routed, 'expert' | 'alternatives'>): string[] {
    const { defaultExpert } = this.parts;
    const fallback = expert === null ? [] : (this.registry.get(expert)?.settings.fallback ?? []);
    return [
      ...new Set([
        ...(expert === null ? [] : [expert]),
        ...fallback,
        ...(defaultExpert === undefined ? [] : [defaultExpert]),
        ...(expert === null ? [] : alternatives.map((alternative) => alternative.expert)),
      ]),
    ];
  }

  feedback(entry: Parameters<DecisionLog['feedback']>[0]): void {
    this.parts.log?.feedback(entry);
    this.parts.metrics?.feedback.observe(entry.score);
  }

  get keepsLog(): boolean {
    return this.parts.log !== undefined;
  }

  private standIn(unavailable: ReadonlySet<string>): string | null {
    const { defaultExpert } = this.parts;
    if (defaultExpert === undefined || !this.registry.get(defaultExpert)) return null;
    return unavailable.has(defaultExpert) ? null : defaultExpert;
  }

  private async withPlugins(query: string, decision: Decision, own: RouteDecision): Promise<RouteDecision> {
    const { hooks } = this.parts;
    if (!hooks) return own;
    const offered = { query, candidates: decision.scores };
    const { candidates } = await hooks.candidates.fire(offered);
    const allowed = new Set(candidates.map(({ expert }) => expert));
    const kept = own.expert === null || candidates === decision.scores || allowed.has(own.expert);
    const [first, ...others] = candidates;
    const next = kept || !first ? own : { ...first, alternatives: others };
    const final = (await hooks.select.fire({ query, candidates }))?.answer ?? next;
    await hooks.decided.fire(final);
    return final;
  }

  private remember(conversation: string, expert: string): void {
    this.conversations.delete(conversation);
    this.conversations.set(conversation, expert);
    if (this.conversations.size <= rememberedConversations) return;
    const [oldest] = this.conversations.keys();
    this.conversations.delete(oldest!);
  }
}
