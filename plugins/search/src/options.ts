import { z } from 'zod';

const list = z.array(z.unknown()).min(1, 'expected at least one value');

const range = z
  .strictObject({
    min: z.number(),
    max: z.number(),
    scale: z.enum(['linear', 'log']).default('linear').describe('log: every factor is as likely as any other'),
    integer: z.boolean().default(false).describe('whole numbers only, both bounds among them'),
  })
  .refine(({ min, max }) => min < max, { error: 'expected min below max', path: ['max'] })
  .refine(({ min, scale }) => scale === 'linear' || min > 0, {
    error: 'expected a positive min on a log scale',
    path: ['min'],
  });

/** What a parameter may be: one of some values, or a number of a range. */
const parameter = z.union([list, range], { error: 'expected a list of values, or {min, max, scale, integer}' });

export const searchOptions = z
  .strictObject({
    trainer: z.string().min(1).describe('what is run again and again: sft, dpo ...'),
    with: z.record(z.string(), z.unknown()).default({}).describe('its options that stay the same'),
    parameters: z
      .record(z.string().min(1), parameter)
      .refine((parameters) => Object.keys(parameters).length > 0, 'expected at least one parameter')
      .describe('its options that are searched, by their paths such as learningRate or lora.r'),
    method: z
      .enum(['grid', 'random', 'halving'])
      .default('grid')
      .describe('grid: every combination; random: some of them; halving: many for few steps, the best for more'),
    trials: z.int().positive().default(10).describe('combinations that are drawn; of random and halving'),
    halving: z
      .strictObject({
        eta: z
          .int()
          .min(2)
          .default(3)
          .describe('one of so many goes on to the next rung, with so many times the steps'),
        minSteps: z.int().positive().default(10).describe('optimiser steps of the first rung'),
        maxSteps: z.int().positive().default(90).describe('optimiser steps of a rung at most'),
      })
      .refine(({ minSteps, maxSteps }) => minSteps <= maxSteps, {
        error: 'expected minSteps up to maxSteps',
        path: ['minSteps'],
      })
      .prefault({}),
    metric: z
      .string()
      .min(1)
      .default('loss')
      .describe(
        'figure of the held-out rows that decides (loss, accuracy, rewards/accuracies ...), or an output of the trainer',
      ),
    goal: z.enum(['minimize', 'maximize']).default('minimize'),
    seed: z.int().nonnegative().default(42).describe('of the draws; the trainer has its own'),
    keep: z.enum(['best', 'all']).default('best').describe('whose files stay when the search has ended'),
    outputDir: z.string().min(1).optional().describe('where trials keep their files, each in a folder of its own'),
  })
  .superRefine(({ with: fixed, parameters, method }, context) => {
    for (const key of Object.keys(parameters)) {
      if (method === 'grid' && !Array.isArray(parameters[key])) {
        context.addIssue({
          code: 'custom',
          path: ['parameters', key],
          message: 'expected a list of values: a grid has no ranges',
        });
      }
      if (method === 'halving' && key === 'maxSteps') {
        context.addIssue({
          code: 'custom',
          path: ['parameters', key],
          message: 'not with halving, which decides how long each trial trains',
        });
      }
    }
    if (fixed.outputDir !== undefined) {
      context.addIssue({
        code: 'custom',
        path: ['with', 'outputDir'],
        message: 'not here: set outputDir of the search',
      });
    }
  });

export type SearchOptions = z.output<typeof searchOptions>;
export type Parameter = z.output<typeof parameter>;
