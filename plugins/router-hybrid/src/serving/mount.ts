import type { Logger, RouteFiring } from '@largeforge/core';
import type { FastifyInstance } from 'fastify';
import type { Registry } from 'prom-client';
import type { ExpertRegistry } from '../experts/expert-registry.js';
import { HealthChecks, type HealthSettings } from '../experts/health-checks.js';
import type { AdaptiveThresholds } from '../learning/adaptive-thresholds.js';
import type { ThompsonSampling } from '../learning/thompson-sampling.js';
import type { Router } from '../router/router.js';
import { DecisionLog, type QueryLogging } from './decision-log.js';
import { listedModels } from './listed-models.js';
import { RouterMetrics } from './metrics.js';
import { routedCompletions } from './routed-completions.js';
import { routerRoutes } from './routes.js';
import { RoutingDesk, type RoutingExperiment } from './routing-desk.js';

export interface MountOptions {
  readonly router: Router;
  readonly registry: ExpertRegistry;
  readonly log: Pick<Logger, 'warn'>;
  readonly hooks?: RouteFiring;
  readonly defaultExpert?: string | undefined;
  readonly decisionLog?: { readonly file: string; readonly queries: QueryLogging } | undefined;
  readonly health?: HealthSettings;
  readonly experiment?: RoutingExperiment | undefined;
  readonly exploration?: number;
  readonly bandit?: ThompsonSampling | undefined;
  readonly adaptive?: AdaptiveThresholds | undefined;
}

/** Adds routing to a server that does not listen yet. It ends with the server. */
export function mountRouter(app: FastifyInstance, options: MountOptions): RoutingDesk {
  const { router, registry, log, hooks, defaultExpert, decisionLog } = options;
  const { metricsRegistry } = app as { metricsRegistry?: Registry };
  const metrics = metricsRegistry && new RouterMetrics(metricsRegistry, registry);
  const decisions =
    decisionLog &&
    new DecisionLog(decisionLog.file, decisionLog.queries, (err) => log.warn({ err }, 'the decision log failed'));
  const desk = new RoutingDesk(router, registry, {
    defaultExpert,
    ...(metrics && { metrics }),
    ...(decisions && { log: decisions }),
    ...(hooks && { hooks }),
    experiment: options.experiment,
    bandit: options.bandit,
    adaptive: options.adaptive,
    ...(options.exploration !== undefined && { exploration: options.exploration }),
  });
  routerRoutes(app, desk);
  routedCompletions(app, desk, metrics);
  listedModels(app, registry);
  const checks = new HealthChecks(registry, options.health);
  app.addHook('onListen', async () => void checks.run());
  app.addHook('onClose', async () => {
    checks.stop();
    await decisions?.flush();
  });
  return desk;
}
