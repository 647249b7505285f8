import { checkTrainerOptions, trainerOptions } from '@largeforge/trainer';
import { z } from 'zod';

const path = z.string().min(1);

/** A divergence by name; `generalized_js` takes its place between the other two from `beta`. */
export const divergences = ['forward_kl', 'reverse_kl', 'generalized_js'] as const;

const shape = trainerOptions.shape;

/** Options of distillation: those of every trainer, and the teacher's. */
export const distillOptions = z
  .strictObject({
    ...shape,
    learningRate: shape.learningRate.describe('peak; 2e-4 with LoRA, 5e-5 in full unless given'),
    teacher: path.describe('model that is learnt from: folder, .gguf file or cached name'),
    teacherAdapter: path.optional().describe('LoRA adapter of the teacher'),
    teacherWeights: z
      .enum(['as-stored', 'bf16', 'f32'])
      .default('as-stored')
      .describe("precision of the teacher's matrices; as-stored leaves quantised GGUF files in their own bits"),
    keepLayers: z
      .union([z.int().positive(), z.array(z.int().nonnegative()).min(1)])
      .optional()
      .describe(
        'layers of the model that the student begins with: their indices, or how many, spread evenly; needs full',
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
    if (options.keepLayers !== undefined && !options.full) {
      wrong('keepLayers', 'with full: true only; an adapter cannot make up for layers that are left out');
    }
    if (options.topK !== undefined && options.divergence === 'reverse_kl') {
      wrong('topK', 'not with reverse_kl, which asks the teacher for every token that the student might say');
    }
  });

export type DistillOptions = z.output<typeof distillOptions>;
