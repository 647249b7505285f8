import { secret } from '@largeforge/core';
import { checkTrainerOptions, trainerOptions } from '@largeforge/trainer';
import { z } from 'zod';

const path = z.string().min(1);

/** A divergence by name; `generalized_js` takes its place between the other two from `beta`. */
export const divergences = ['forward_kl', 'reverse_kl', 'generalized_js'] as const;

const shape = trainerOptions.shape;

const keepLayers = z.union([z.int().positive(), z.array(z.int().nonnegative()).min(1)]);

const features = z.strictObject({
  layers: z
    .union([z.literal('even'), z.array(z.tuple([z.int().positive(), z.int().positive()])).min(1)])
    .default('even')
    .describe(
      'pairs of a layer of the student and one of the teacher, counted from 1; even: at the same share of the depth',
    ),
  weight: z.number().positive().default(1).describe('of the mean squared error in the loss'),
});

const onPolicy = z.strictObject({
  share: z.number().gt(0).max(1).default(0.5).describe("of the micro-batches whose answers are the student's own"),
  maxTokens: z.int().positive().default(128).describe('of an answer'),
  temperature: z.number().min(0).default(0.9).describe('at which the student answers'),
});

const stage = z.strictObject({
  keepLayers: keepLayers.describe('layers that are left of the student of the stage before'),
  maxSteps: z.int().positive().describe('optimiser steps of the stage'),
});

/** Options of distillation: those of every trainer, and the teacher's. */
export const distillOptions = z
  .strictObject({
    ...shape,
    learningRate: shape.learningRate.describe('peak; 2e-4 with LoRA, 5e-5 in full unless given'),
    teacher: path.describe(
      'model that is learnt from: folder, .gguf file, cached name, or the address of a server (http://host/v1)',
    ),
    teacherModel: path.optional().describe('its name on the server'),
    teacherApiKey: secret(path).optional().describe('key of the server'),
    teacherAdapter: path.optional().describe('LoRA adapter of the teacher'),
    teacherWeights: z
      .enum(['as-stored', 'bf16', 'f32'])
      .default('as-stored')
      .describe("precision of the teacher's matrices; as-stored leaves quantised GGUF files in their own bits"),
    vocabulary: z
      .enum(['same', 'align'])
      .default('same')
      .describe('same: a teacher that numbers its tokens otherwise is refused; align: they are matched by their texts'),
    keepLayers: keepLayers
      .optional()
      .describe(
        'layers of the model that the student begins with: their indices, or how many, spread evenly; needs full',
      ),
    stages: z
      .array(stage)
      .min(2)
      .optional()
      .describe(
        'progressive: the student loses layers stage by stage, and learns from the teacher in between; needs full',
      ),
    divergence: z
      .enum(divergences)
      .default('forward_kl')
      .describe('forward_kl: cover all that the teacher might say; reverse_kl: say only what it might'),
    beta: z.number().gt(0).lt(1).default(0.5).describe('of generalized_js: 0 would be forward_kl, 1 reverse_kl'),
    temperature: z.number().positive().default(2).describe('both logits are divided by it'),
    alpha: z
      .number()
      .gt(0)
      .max(1)
      .default(0.5)
      .describe("share of the divergence in the loss; the rest is the cross-entropy of the rows' own tokens"),
    scaleByTemperature: z
      .boolean()
      .default(true)
      .describe('multiply the divergence by temperature^2, so that its gradients keep their size'),
    features: features.optional().describe('learn hidden states of the teacher too'),
    onPolicy: onPolicy.optional().describe("learn from the student's own answers, as the teacher judges them (GKD)"),
    topK: z
      .int()
      .positive()
      .max(1024)
      .optional()
      .describe(
        'ask the teacher before training, and keep so many of its logits at each target on disk; forward_kl or generalized_js',
      ),
  })
  .superRefine((options, context) => {
    checkTrainerOptions(options, context);
    const wrong = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
    const { keepLayers, stages, full, topK, divergence, features, onPolicy, packing, vocabulary } = options;
    if (keepLayers !== undefined && !full) {
      wrong('keepLayers', 'with full: true only; an adapter cannot make up for layers that are left out');
    }
    if (stages && !full)
      wrong('stages', 'with full: true only; an adapter cannot make up for layers that are left out');
    if (stages && keepLayers !== undefined) wrong('keepLayers', 'not beside stages, the first of which says it');
    if (stages && options.maxSteps !== undefined) wrong('maxSteps', 'not beside stages, which have their own');
    if (topK !== undefined && divergence === 'reverse_kl') {
      wrong('topK', 'not with reverse_kl, which asks the teacher for every token that the student might say');
    }
    if (topK !== undefined && features) wrong('features', 'not with topK, which keeps logits alone');
    if (topK !== undefined && onPolicy)
      wrong('onPolicy', 'not with topK: what the student will say cannot be asked beforehand');
    if (onPolicy && packing) wrong('packing', 'false beside onPolicy: answers change their lengths');
    if (isServer(options.teacher)) {
      if (topK === undefined) wrong('topK', 'how many log-probabilities the server is asked for');
      if (options.teacherModel === undefined) wrong('teacherModel', 'the name of the teacher on the server');
      if (options.teacherAdapter !== undefined) wrong('teacherAdapter', 'not with a server, which names its models');
      if (vocabulary === 'align') wrong('vocabulary', 'same, as a teacher behind a server is sent token ids');
    } else if (options.teacherModel !== undefined) wrong('teacherModel', 'only with a teacher behind a server');
  });

export type DistillOptions = z.output<typeof distillOptions>;

export const isServer = (teacher: string): boolean => /^https?:\/\//.test(teacher);
