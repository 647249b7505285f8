import { existsSync } from 'node:fs';
import { type PluginContext, resolveUserPath, type ServeConfiguration } from '@largeforge/core';
import type { FastifyInstance } from 'fastify';
import { routerErrors } from '../errors.js';
import { ExpertRegistry } from '../experts/expert-registry.js';
import type { ExpertSettings } from '../experts/expert-settings.js';
import { AdaptiveThresholds } from '../learning/adaptive-thresholds.js';
import { learnFromLog } from '../learning/lessons.js';
import { readDecisions } from '../learning/log-report.js';
import { ThompsonSampling } from '../learning/thompson-sampling.js';
import type { RouterOptions } from '../options.js';
import { Router } from '../router/router.js';
import { type OpenEncoder, openRouter } from '../training/open-router.js';
import { mountRouter } from './mount.js';

/** Brings the router that the config describes onto a server. */
export async function serveExperts(
  { instance, route }: ServeConfiguration,
  context: PluginContext,
  options: RouterOptions,
  openEncoder: OpenEncoder,
): Promise<void> {
  const { router: folder, encoder, experts, expertsFile, defaultExpert, decisionLog, health, breaker } = options;
  const pathOf = (path: string) => resolveUserPath(context.config.baseDir, path);
  const registry = new ExpertRegistry(experts, {
    ...(expertsFile !== undefined && { file: pathOf(expertsFile) }),
    breaker: { failures: breaker.failures, openMs: breaker.openSeconds * 1000, successes: breaker.successes },
  });
  if (defaultExpert !== undefined && !registry.get(defaultExpert)) {
    throw routerErrors.LF_ROUTER_DEFAULT_EXPERT({
      name: defaultExpert,
      known: registry.list().map(({ name }) => name),
    });
  }
  const { strategy, threshold, preferMargin, stickyMargin, nearEqual } = options;
  const settings = { strategy, preferMargin, stickyMargin, nearEqual, ...(threshold !== undefined && { threshold }) };
  const app = instance as FastifyInstance;
  let router: Router;
  if (folder !== undefined) {
    const opened = await openRouter(pathOf(folder), openEncoder, settings, encoder && pathOf(encoder));
    router = opened.router;
    app.addHook('onClose', () => opened[Symbol.asyncDispose]());
  } else {
    const path = encoder === undefined ? undefined : pathOf(encoder);
    if (path !== undefined && !existsSync(path)) {
      throw routerErrors.LF_ROUTER_ENCODER_MISSING({ folder: 'of the config', path });
    }
    const model = path === undefined ? undefined : await openEncoder(path);
    router = new Router(undefined, model, settings);
    app.addHook('onClose', async () => model?.close());
  }
  await router.prepare(registry.candidates);
  const experiment = options.experiment && {
    name: options.experiment.name,
    arms: Object.entries(options.experiment.arms).map(([name, { share, strategy: own, threshold: limit }]) => ({
      name,
      share,
      router: router.with({ ...(own && { strategy: own }), ...(limit !== undefined && { threshold: limit }) }),
    })),
  };
  context.config.reloadable('.experts', async (value) => {
    registry.configure(value as ExpertSettings[]);
    await router.prepare(registry.candidates);
  });
  const bandit = options.bandit ? new ThompsonSampling() : undefined;
  const adaptive = options.adaptive && new AdaptiveThresholds(options.adaptive);
  if ((bandit || adaptive) && decisionLog && existsSync(pathOf(decisionLog.file))) {
    learnFromLog(readDecisions(pathOf(decisionLog.file)), { bandit, adaptive });
  }
  mountRouter(app, {
    router,
    registry,
    log: context.log,
    hooks: route,
    defaultExpert,
    experiment,
    exploration: options.exploration,
    bandit,
    adaptive,
    decisionLog: decisionLog && { ...decisionLog, file: pathOf(decisionLog.file) },
    health: { intervalMs: health.intervalSeconds * 1000, timeoutMs: health.timeoutSeconds * 1000 },
  });
}
