import { randomUUID } from 'node:crypto';
import type { RouteDecision, RouteFiring } from '@largeforge/core';
import type { ExpertRegistry } from '../experts/expert-registry.js';
import type { AdaptiveThresholds } from '../learning/adaptive-thresholds.js';
import { type Arm, armOf } from '../learning/experiment.js';
import { type LearnableDecision, learnFrom } from '../learning/lessons.js';
import type { ThompsonSampling } from '../learning/thompson-sampling.js';
import type { Decision, Router } from '../router/router.js';
import type { DecisionLog, Feedback } from './decision-log.js';
import type { RouterMetrics } from './metrics.js';
import { type RequestTrace, spanned } from './tracing.js';

export interface RoutingRequest {
  readonly query: string;
  readonly prefer?: string | undefined;
  /** What tells a conversation from others; its queries tend to stay with one expert. */
  readonly conversation?: string | undefined;
  /** The conversation begins: there is no earlier expert to stay with, even if another one began alike. */
  readonly begins?: boolean;
  readonly trace?: RequestTrace | undefined;
}

/** A decision as callers get it: the default expert stands in where no expert is confident enough. */
export interface Routed {
  readonly id: string;
  readonly expert: string | null;
  readonly confidence: number;
  readonly alternatives: readonly { readonly expert: string; readonly confidence: number }[];
  readonly decision: Decision;
}

/** Two or more ways to route, tried side by side. */
export interface RoutingExperiment {
  readonly name: string;
  readonly arms: readonly (Arm & { readonly router: Router })[];
}

/** An expert whose confidence is at least this share of the chosen one's may be explored. */
const explorable = 0.5;

/** Conversations whose expert is remembered, and decisions that can be learned from. */
const remembered = 10_000;

/** Decides on the queries of a running server: over the experts that are there now, with load, plugins, log and metrics. */
export class RoutingDesk {
  private readonly conversations = new Map<string, string>();
  /** Decisions that feedback may still come for. */
  private readonly decisions = new Map<string, LearnableDecision>();

  constructor(
    private readonly router: Router,
    readonly registry: ExpertRegistry,
    private readonly parts: {
      readonly defaultExpert?: string | undefined;
      readonly metrics?: RouterMetrics;
      readonly log?: DecisionLog;
      readonly hooks?: RouteFiring;
      readonly experiment?: RoutingExperiment | undefined;
      /** Share of the decisions that go to one of the likely experts by chance, so that others can be compared. */
      readonly exploration?: number;
      /** Chooses among the likely experts by what was said of their answers. */
      readonly bandit?: ThompsonSampling | undefined;
      /** Moves thresholds by what was said. */
      readonly adaptive?: AdaptiveThresholds | undefined;
    } = {},
  ) {}

  decide(request: RoutingRequest): Promise<Routed> {
    return spanned('route', request.trace, async (span) => {
      const routed = await this.decision(request);
      const { id, expert, confidence, decision } = routed;
      span.setAttributes({
        'largeforge.decision': id,
        'largeforge.expert': expert ?? 'none',
        'largeforge.confidence': confidence,
        'largeforge.strategy': decision.strategy,
        'largeforge.reason': decision.reason,
      });
      return routed;
    });
  }

  private async decision({ query, prefer, conversation, begins }: RoutingRequest): Promise<Routed> {
    const { registry, parts } = this;
    const start = performance.now();
    const sticky = conversation === undefined || begins ? undefined : this.conversations.get(conversation);
    const exclude = registry.unavailable;
    const { arm, router } = this.armFor(conversation ?? query);
    const decision = await router.decide(query, {
      experts: registry.candidates,
      exclude,
      load: registry.load,
      ...(prefer !== undefined && { prefer }),
      ...(sticky !== undefined && { sticky }),
      ...(parts.adaptive && { offset: (name: string) => parts.adaptive!.offset(name) }),
    });
    const chosen = decision.expert ?? this.standIn(decision.unavailable, exclude);
    const own: RouteDecision = {
      expert: chosen,
      confidence: decision.confidence,
      alternatives: decision.scores.filter(({ expert }) => expert !== chosen),
    };
    const explored = this.explore(decision, own);
    const final = await this.withPlugins(query, decision, explored.route);
    const id = `dec_${randomUUID().replaceAll('-', '')}`;
    const milliseconds = performance.now() - start;
    if (conversation !== undefined && final.expert !== null) this.remember(conversation, final.expert);
    const answering = final.expert === null ? undefined : registry.get(final.expert)?.settings;
    const threshold = router.thresholdOf(answering);
    const turnedAway = decision.expert === null;
    this.recall(id, { expert: final.expert, turnedAway, confidence: final.confidence, threshold });
    parts.metrics?.decided(final.expert, decision, milliseconds);
    const policy = {
      ...(arm !== undefined && { arm }),
      ...(explored.propensity !== undefined &&
        final === explored.route && { propensity: explored.propensity, greedy: own.expert }),
    };
    parts.log?.decided({ id, query, decision, expert: final.expert, threshold, milliseconds, ...policy });
    return { id, ...final, decision };
  }

  /**
   * Who is asked, in which order: the chosen expert, its own fall-backs (or those of the one that it stands in for), the
   * default, and the others by confidence. An expert that cannot be chosen now is asked last: it may be back.
   */
  chain({
    expert,
    alternatives,
    decision: { unavailable },
  }: Pick<Routed, 'expert' | 'alternatives' | 'decision'>): string[] {
    if (expert === null) return [];
    const { defaultExpert } = this.parts;
    const meant = unavailable ?? expert;
    return [
      ...new Set([
        expert,
        ...(this.registry.get(meant)?.settings.fallback ?? []),
        ...(defaultExpert === undefined ? [] : [defaultExpert]),
        ...alternatives.map((alternative) => alternative.expert),
        meant,
      ]),
    ];
  }

  feedback(entry: Feedback): void {
    const { log, metrics } = this.parts;
    log?.feedback(entry);
    metrics?.feedback.observe(entry.score);
    this.learn(entry);
  }

  /** Whether anything is done with feedback. */
  get takesFeedback(): boolean {
    const { log, bandit, adaptive } = this.parts;
    return log !== undefined || bandit !== undefined || adaptive !== undefined;
  }

  /** Learns from what was said of a decision; once of each, and only while it is remembered. */
  private learn(entry: Feedback): void {
    const made = this.decisions.get(entry.decision_id);
    if (!made) return;
    this.decisions.delete(entry.decision_id);
    learnFrom(made, entry, this.parts);
  }

  private armFor(unit: string): { readonly arm?: string; readonly router: Router } {
    const { experiment } = this.parts;
    if (!experiment) return { router: this.router };
    const arm = armOf(experiment.name, unit, experiment.arms);
    return { arm, router: experiment.arms.find(({ name }) => name === arm)!.router };
  }

  /**
   * Who of the likely experts gets the query: the bandit's choice, or, for a share of the decisions, one by chance
   * (epsilon-greedy), so that they can be compared. Decisions that
   * were no matter of confidence (a wish, a certain rule, a conversation) are never explored.
   */
  private explore(decision: Decision, own: RouteDecision): { route: RouteDecision; propensity?: number } {
    const { exploration = 0, bandit } = this.parts;
    const free = decision.reason === 'best' || decision.reason === 'load';
    if ((exploration === 0 && !bandit) || !free || decision.expert === null) return { route: own };
    const likely = decision.scores.filter(({ confidence }) => confidence >= explorable * decision.confidence);
    if (bandit) {
      const { chosen, propensity } = bandit.choose(likely);
      const alternatives = decision.scores.filter(({ expert }) => expert !== chosen.expert);
      return { route: { ...chosen, alternatives }, propensity };
    }
    const drawn = likely[Math.floor(Math.random() * likely.length)]!;
    const chosen = Math.random() < exploration ? drawn : { expert: own.expert, confidence: own.confidence };
    const propensity = exploration / likely.length + (chosen.expert === own.expert ? 1 - exploration : 0);
    const alternatives = decision.scores.filter(({ expert }) => expert !== chosen.expert);
    return { route: { ...chosen, alternatives }, propensity };
  }

  /** Who answers what nobody was chosen for: a fall-back of the expert that is unavailable, or the default one. */
  private standIn(unavailable: string | undefined, excluded: ReadonlySet<string>): string | null {
    const { defaultExpert } = this.parts;
    const fallback = unavailable === undefined ? [] : (this.registry.get(unavailable)?.settings.fallback ?? []);
    const standIns = [...fallback, ...(defaultExpert === undefined ? [] : [defaultExpert])];
    return standIns.find((name) => this.registry.get(name) && !excluded.has(name)) ?? unavailable ?? null;
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
    keep(this.conversations, conversation, expert);
  }

  private recall(id: string, made: LearnableDecision): void {
    const { bandit, adaptive } = this.parts;
    if (bandit || adaptive) keep(this.decisions, id, made);
  }
}

/** Adds an entry; the oldest goes when there are too many. */
function keep<Value>(map: Map<string, Value>, key: string, value: Value): void {
  map.set(key, value);
  if (map.size <= remembered) return;
  const [oldest] = map.keys();
  map.delete(oldest!);
}
