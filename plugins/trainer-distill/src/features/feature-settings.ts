import { commands, type Device, Parameter, streamOf, Tensor, unscoped } from '@largeforge/engine';
import { distillErrors } from '../errors.js';

/** Hidden states that a student learns from its teacher's: layers by pairs, and what makes their widths the same. */
export interface FeatureSettings {
  /** Layers of the student and of the teacher, counted from 1. */
  readonly pairs: readonly (readonly [student: number, teacher: number])[];
  /** Of the mean squared error in the loss, beside the divergence and the cross-entropy. */
  readonly weight: number;
  /** For each pair, [teacher's width, student's width]; empty where the widths are the same. */
  readonly projections: readonly (Parameter | undefined)[];
}

/** What models must be known by. */
interface Shape {
  readonly numLayers: number;
  readonly hiddenSize: number;
}

/**
 * Every layer of the student and the one at the same share of the teacher's depth: 1 of 2 learns from 3 of 6
 * (the uniform layer map of TinyBERT, Jiao et al. 2020, section 3.1).
 */
export function evenPairs(student: number, teacher: number): [number, number][] {
  return Array.from({ length: student }, (_, i) => [i + 1, Math.round(((i + 1) * teacher) / student)]);
}

/** Checks a layer map. Throws LF_DISTILL_FEATURES. */
export function checkPairs(pairs: FeatureSettings['pairs'], student: Shape, teacher: Shape): void {
  for (const [own, other] of pairs) {
    for (const [whose, layer, { numLayers }] of [
      ['student', own, student],
      ['teacher', other, teacher],
    ] as const) {
      if (layer > numLayers) throw distillErrors.LF_DISTILL_FEATURES({ whose, layer, layers: numLayers });
    }
  }
}

/** Trainable projections from the student's width to the teacher's, drawn from a seed; none where they are the same. */
export function makeProjections(
  device: Device,
  pairs: FeatureSettings['pairs'],
  { student, teacher, seed }: { student: Shape; teacher: Shape; seed: number },
): (Parameter | undefined)[] {
  if (student.hiddenSize === teacher.hiddenSize) return pairs.map(() => undefined);
  return pairs.map(([layer], i) => {
    const values = unscoped(() => Tensor.empty(device, [teacher.hiddenSize, student.hiddenSize], 'f32', 'persistent'));
    const key = {
      seedLow: seed >>> 0,
      seedHigh: Math.floor(seed / 2 ** 32) >>> 0,
      stream: streamOf('initialise', 0x800000 + i),
    };
    // Keeps the size of what passes through.
    commands.random(device.recorder, 'normal', 0, student.hiddenSize ** -0.5, key, values);
    return Parameter.of(values, projectionName(layer), { trainable: true });
  });
}

/** As checkpoints hold it. */
export const projectionName = (layer: number): string => `feature_projection.${layer}.weight`;
