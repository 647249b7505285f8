import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { ExpertRegistry } from '../experts/expert-registry.js';
import type { Decision } from '../router/router.js';

/** What the router counts, in the server's registry. */
export class RouterMetrics {
  private readonly decisions: Counter<'expert' | 'strategy' | 'reason'>;
  private readonly latency: Histogram;
  readonly failures: Counter<'expert'>;
  readonly requests: Counter<'expert' | 'outcome'>;
  readonly feedback: Histogram;
  private readonly tokens: Counter<'expert'>;
  private readonly cost: Counter<'expert'>;

  constructor(registry: Registry, experts: ExpertRegistry) {
    const registers = [registry];
    this.decisions = new Counter({
      name: 'router_decisions_total',
      help: 'Queries that were routed, by the expert they went to ("none" is out of scope) and why.',
      labelNames: ['expert', 'strategy', 'reason'],
      registers,
    });
    this.latency = new Histogram({
      name: 'router_decision_seconds',
      help: 'Seconds that a decision took.',
      buckets: [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1],
      registers,
    });
    this.requests = new Counter({
      name: 'router_requests_total',
      help: 'Requests that an expert answered, by how the answer ended.',
      labelNames: ['expert', 'outcome'],
      registers,
    });
    this.failures = new Counter({
      name: 'router_expert_failures_total',
      help: 'Tries of an expert that failed before its first token.',
      labelNames: ['expert'],
      registers,
    });
    this.feedback = new Histogram({
      name: 'router_feedback_score',
      help: 'Scores that callers gave to answers, 0 to 1.',
      buckets: [0.2, 0.4, 0.6, 0.8, 1],
      registers,
    });
    this.tokens = new Counter({
      name: 'router_expert_tokens_total',
      help: 'Tokens of prompts and answers, where the expert tells how many they were.',
      labelNames: ['expert'],
      registers,
    });
    this.cost = new Counter({
      name: 'router_expert_cost_total',
      help: 'What these tokens cost, of experts with a cost.',
      labelNames: ['expert'],
      registers,
    });
    const each = (name: string, help: string, value: (expert: ReturnType<ExpertRegistry['list']>[number]) => number) =>
      new Gauge({
        name,
        help,
        labelNames: ['expert'],
        registers,
        collect() {
          this.reset();
          for (const expert of experts.list()) this.set({ expert: expert.name }, value(expert));
        },
      });
    each('router_expert_load_ratio', 'Running requests of an expert over its capacity.', ({ load }) => load.load);
    each('router_expert_active', 'Whether an expert can be chosen now.', ({ available }) => Number(available));
  }

  /** Counts the tokens of an answer. */
  used(expert: string, tokens: number, costOfThousand: number | undefined): void {
    this.tokens.inc({ expert }, tokens);
    if (costOfThousand !== undefined) this.cost.inc({ expert }, (tokens / 1000) * costOfThousand);
  }

  decided(expert: string | null, { strategy, reason }: Decision, milliseconds: number): void {
    this.decisions.inc({ expert: expert ?? 'none', strategy, reason });
    this.latency.observe(milliseconds / 1000);
  }
}
