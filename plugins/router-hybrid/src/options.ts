import { z } from 'zod';
import { expertSchema } from './experts/expert-settings.js';
import { defaultAdaptive } from './learning/adaptive-thresholds.js';
import { defaultRouterSettings } from './router/router.js';
import { strategyNames } from './router/trained-router.js';

const share = z.number().min(0).max(1);

/** Options of the plugin in the config's `plugins` list. */
export const routerOptions = z.strictObject({
  router: z
    .string()
    .optional()
    .describe('what "largeforge train router" wrote; without it, keywords and likeness decide'),
  encoder: z.string().optional().describe('folder of a sentence encoder; the one of the training when absent'),
  strategy: z.enum(strategyNames).default(defaultRouterSettings.strategy),
  threshold: share.optional().describe("confidence from which an expert is chosen; the training's when absent"),
  preferMargin: share.default(defaultRouterSettings.preferMargin),
  stickyMargin: share.default(defaultRouterSettings.stickyMargin),
  nearEqual: share.default(defaultRouterSettings.nearEqual),
  experts: z
    .array(expertSchema)
    .default([])
    .describe('experts that are there from the start; a running server follows changes of the config'),
  expertsFile: z.string().optional().describe('where experts that the API registers are kept'),
  defaultExpert: z.string().optional().describe('who answers when no expert is confident enough'),
  decisionLog: z
    .strictObject({
      file: z.string().describe('JSON Lines: decisions and feedback'),
      queries: z.enum(['hash', 'text']).default('hash').describe('queries as SHA-256, or as they are'),
    })
    .optional(),
  exploration: share
    .default(0)
    .describe('share of the decisions that go to one of the likely experts by chance, so that they can be compared'),
  bandit: z
    .boolean()
    .default(false)
    .describe('chooses among the likely experts by what feedback said of their answers (Thompson sampling)'),
  adaptive: z
    .strictObject({
      target: share.default(defaultAdaptive.target).describe('mean score of answers near the threshold to aim at'),
      rate: share.default(defaultAdaptive.rate).describe('how far one score moves a threshold'),
      bound: share.default(defaultAdaptive.bound).describe('how far a threshold may go from where it began'),
    })
    .optional()
    .describe('thresholds follow the feedback, each expert its own'),
  experiment: z
    .strictObject({
      name: z.string().min(1).describe('another name splits the traffic anew'),
      arms: z
        .record(
          z.string().min(1),
          z.strictObject({
            share: z.number().positive(),
            strategy: z.enum(strategyNames).optional(),
            threshold: share.optional(),
          }),
        )
        .refine((arms) => Object.keys(arms).length > 1, 'expected two arms or more'),
    })
    .optional()
    .describe('ways to route that are tried side by side; conversations keep their arm'),
  health: z
    .strictObject({
      intervalSeconds: z.number().positive().default(10),
      timeoutSeconds: z.number().positive().default(3),
    })
    .default({ intervalSeconds: 10, timeoutSeconds: 3 }),
  breaker: z
    .strictObject({
      failures: z.int().min(1).default(5),
      openSeconds: z.number().positive().default(30),
      successes: z.int().min(1).default(2),
    })
    .default({ failures: 5, openSeconds: 30, successes: 2 }),
});

export type RouterOptions = z.output<typeof routerOptions>;
