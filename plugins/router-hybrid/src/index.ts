import { type BackendEntry, type ChosenBackend, definePlugin } from '@largeforge/core';
import { expertsCommands } from './commands/experts.js';
import { routeReplayCommand } from './commands/route-replay.js';
import { routeReportCommand } from './commands/route-report.js';
import { trainRouterCommand } from './commands/train-router.js';
import { routerOptions } from './options.js';
import { openEncoderOn } from './training/open-router.js';

export { chooseThreshold, figuresAt, type ScoredRow, type ThresholdFigures } from './calibration/threshold.js';
export { EngineSentenceEncoder, type SentenceEncoder } from './encoders/sentence-encoder.js';
export { WordPieces } from './encoders/word-piece.js';
export { loadRouter, saveRouter } from './router/artifact.js';
export type { Expert, ExpertLoad } from './router/expert.js';
export { type DecideOptions, type Decision, Router, type RouterSettings } from './router/router.js';
export type { StrategyName, TrainedRouter } from './router/trained-router.js';
export { type Evaluation, evaluateRouter } from './training/evaluation.js';
export type { RoutedText } from './training/rows.js';
export { trainRouter } from './training/train-router.js';

export default definePlugin({
  name: '@largeforge/router-hybrid',
  version: '0.1.0',
  apiVersion: 1,
  options: routerOptions,
  setup(context, options) {
    const backend = async (): Promise<ChosenBackend> => {
      const setting = context.config.get('backend') as string | { name: string } | undefined;
      const { name, ...rest } = typeof setting === 'object' ? setting : { name: setting ?? 'auto' };
      const { backend: registry } = context.registries;
      const entry: BackendEntry = name === 'auto' ? (await registry.auto()).value : await registry.get(name);
      return { ...entry, ...rest };
    };
    context.registries.trainer.add('router', {
      describe: 'A router: which expert answers which query',
      load: async () => (await import('./training/router-trainer.js')).routerTrainer,
    });
    context.hooks.serve.configure.tap(async (configuration) => {
      const { serveExperts } = await import('./serving/serve-experts.js');
      await serveExperts(configuration, context, options, openEncoderOn(backend, 1));
    });
    context.commands.add(trainRouterCommand);
    for (const command of expertsCommands(process.stdout)) context.commands.add(command);
    context.commands.add(routeReportCommand(process.stdout));
    context.commands.add(routeReplayCommand(openEncoderOn(backend, 1), process.stdout));
  },
});
