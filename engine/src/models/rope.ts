import { z } from 'zod';

/**
 * Rotary position embedding (Su et al. 2021) and how its frequencies are stretched beyond the trained context. The
 * formulas are those of transformers' modeling_rope_utils, which loaded models were trained or converted with.
 */
export interface RopeConfig {
  readonly theta: number;
  /** Elements of a head that are rotated. */
  readonly dimensions: number;
  /** Pairs (2i, 2i + 1) instead of (i, i + half). */
  readonly interleaved: boolean;
  readonly scaling: RopeScaling;
}

export type RopeScaling =
  | { readonly type: 'none' }
  | { readonly type: 'default' }
  | { readonly type: 'linear'; readonly factor: number }
  | { readonly type: 'dynamic'; readonly factor: number; readonly maxPositions: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalPositions: number;
    }
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly attentionFactor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly originalPositions: number;
      readonly truncate: boolean;
    }
  | {
      readonly type: 'longrope';
      readonly attentionFactor: number;
      /** What each frequency is divided by: in sequences of up to `originalPositions`, and in longer ones. */
      readonly shortFactors: readonly number[];
      readonly longFactors: readonly number[];
      readonly originalPositions: number;
    };

const positive = z.number().positive();
/** `rope_parameters`, or `rope_scaling` as it was called. */
export const ropeParameters = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: positive.nullish(),
  factor: positive.nullish(),
  partial_rotary_factor: positive.max(1).nullish(),
  original_max_position_embeddings: positive.nullish(),
  low_freq_factor: positive.nullish(),
  high_freq_factor: positive.nullish(),
  attention_factor: positive.nullish(),
  beta_fast: positive.nullish(),
  beta_slow: positive.nullish(),
  mscale: z.number().nullish(),
  mscale_all_dim: z.number().nullish(),
  truncate: z.boolean().nullish(),
  short_factor: z.array(positive).nullish(),
  long_factor: z.array(positive).nullish(),
});
type Parameters = z.infer<typeof ropeParameters>;

/** The fields of config.json that say how positions are rotated; both the old and the new spelling. */
export const ropeFields = {
  rope_theta: positive.nullish(),
  rope_scaling: ropeParameters.nullish(),
  rope_parameters: ropeParameters.nullish(),
  partial_rotary_factor: positive.max(1).nullish(),
  original_max_position_embeddings: positive.nullish(),
  /** Written by our GGUF reader for files whose pairs lie side by side. */
  rope_interleaved: z.boolean().nullish(),
};

const fieldsSchema = z.object(ropeFields);

/** Reads the fields above. `fail` reports what is wrong and does not return. */
export function parseRope(
  fields: z.infer<typeof fieldsSchema>,
  { headDim, maxPositions }: { headDim: number; maxPositions: number },
  fail: (path: string, problem: string) => never,
): RopeConfig {
  const parameters: Parameters = fields.rope_parameters ?? fields.rope_scaling ?? {};
  const path = fields.rope_parameters ? 'rope_parameters' : 'rope_scaling';
  const theta = parameters.rope_theta ?? fields.rope_theta ?? 10000;
  const partial = parameters.partial_rotary_factor ?? fields.partial_rotary_factor ?? 1;
  const dimensions = Math.floor(headDim * partial);
  if (dimensions % 2 !== 0) fail('head_dim', `${dimensions} rotated elements of a head are no whole number of pairs`);
  const need = (key: keyof Parameters & string): number => {
    const value = parameters[key];
    return typeof value === 'number' ? value : fail(`${path}.${key}`, `is required for ${type}`);
  };
  const needFactors = (key: 'short_factor' | 'long_factor'): readonly number[] => {
    const factors = parameters[key] ?? fail(`${path}.${key}`, `is required for ${type}`);
    const pairs = dimensions / 2;
    if (factors.length !== pairs) fail(`${path}.${key}`, `has ${factors.length} factors for ${pairs} pairs`);
    return factors;
  };
  const type = parameters.rope_type ?? parameters.type ?? 'default';
  const originalPositions =
    fields.original_max_position_embeddings ?? parameters.original_max_position_embeddings ?? maxPositions;
  const known = ['default', 'linear', 'dynamic', 'llama3', 'yarn', 'longrope'];
  const scaling = (): RopeScaling => {
    switch (type) {
      case 'default':
        return { type };
      case 'linear':
        return { type, factor: need('factor') };
      case 'dynamic':
        return { type, factor: need('factor'), maxPositions };
      case 'llama3':
        return {
          type,
          factor: need('factor'),
          lowFreqFactor: need('low_freq_factor'),
          highFreqFactor: need('high_freq_factor'),
          originalPositions,
        };
      case 'yarn': {
        const factor = parameters.factor ?? maxPositions / originalPositions;
        return {
          type,
          factor,
          attentionFactor: parameters.attention_factor ?? yarnAttentionFactor(factor, parameters),
          betaFast: parameters.beta_fast ?? 32,
          betaSlow: parameters.beta_slow ?? 1,
          originalPositions,
          truncate: parameters.truncate ?? true,
        };
      }
      case 'longrope':
        return {
          type,
          attentionFactor:
            parameters.attention_factor ??
            longRopeAttentionFactor(parameters.factor ?? maxPositions / originalPositions, originalPositions),
          shortFactors: needFactors('short_factor'),
          longFactors: needFactors('long_factor'),
          originalPositions,
        };
      default:
        return fail(`${path}.rope_type`, `unknown kind "${type}"; known: ${known.join(', ')}`);
    }
  };
  return { theta, dimensions, interleaved: fields.rope_interleaved ?? false, scaling: scaling() };
}

function yarnAttentionFactor(factor: number, { mscale, mscale_all_dim }: Parameters): number {
  const m = (scale: number) => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1);
  return mscale && mscale_all_dim ? m(mscale) / m(mscale_all_dim) : m(1);
}

function longRopeAttentionFactor(factor: number, originalPositions: number): number {
  return factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalPositions));
}

/** What cos and sin are multiplied by. */
export function ropeScale({ scaling }: RopeConfig): number {
  return scaling.type === 'yarn' || scaling.type === 'longrope' ? scaling.attentionFactor : 1;
}

/**
 * Inverse frequencies, [dimensions / 2]. `length` is the longest sequence in the batch; only the dynamic kind and
 * longrope depend on it. Rounded to f32 where transformers rounds.
 */
export function inverseFrequencies(rope: RopeConfig, length: number): Float32Array {
  const { dimensions: dim, scaling } = rope;
  const powers = (base: number) => Float32Array.from({ length: dim / 2 }, (_, i) => base ** Math.fround((2 * i) / dim));
  const inverse = (base: number) => powers(base).map((power) => 1 / power);
  switch (scaling.type) {
    case 'none':
      return new Float32Array(dim / 2);
    case 'default':
      return inverse(rope.theta);
    case 'linear':
      return inverse(rope.theta).map((f) => f / scaling.factor);
    case 'dynamic': {
      const { factor, maxPositions } = scaling;
      const stretch = (factor * Math.max(length, maxPositions)) / maxPositions - (factor - 1);
      return inverse(rope.theta * stretch ** (dim / (dim - 2)));
    }
    case 'llama3':
      return inverse(rope.theta).map((f) => llama3Frequency(f, scaling));
    case 'yarn':
      return yarnFrequencies(powers(rope.theta), rope.theta, dim, scaling);
    case 'longrope': {
      // LongRoPE (Ding et al. 2024): factors that were searched for, one for each frequency.
      const factors = length > scaling.originalPositions ? scaling.longFactors : scaling.shortFactors;
      return powers(rope.theta).map((power, i) => 1 / (Math.fround(factors[i]!) * power));
    }
  }
}

/** A length with the frequencies of `length`: the same for all lengths that have the same. */
export function frequencyLength({ scaling }: RopeConfig, length: number): number {
  // Both kinds depend on the length only beyond the trained context, and longrope only on whether it is beyond.
  if (scaling.type === 'dynamic') return Math.max(length, scaling.maxPositions);
  return scaling.type === 'longrope' && length > scaling.originalPositions ? scaling.originalPositions + 1 : 0;
}

type Llama3 = Extract<RopeScaling, { type: 'llama3' }>;
type Yarn = Extract<RopeScaling, { type: 'yarn' }>;

/** Long wavelengths are divided by the factor, short ones kept, those between blended (Llama 3.1). */
function llama3Frequency(frequency: number, s: Llama3): number {
  const wavelength = (2 * Math.PI) / frequency;
  if (wavelength < s.originalPositions / s.highFreqFactor) return frequency;
  if (wavelength > s.originalPositions / s.lowFreqFactor) return frequency / s.factor;
  const smooth = (s.originalPositions / wavelength - s.lowFreqFactor) / (s.highFreqFactor - s.lowFreqFactor);
  return ((1 - smooth) * frequency) / s.factor + smooth * frequency;
}

/** YaRN (Peng et al. 2023): interpolates low frequencies, keeps high ones, with a ramp between them. */
function yarnFrequencies(powers: Float32Array, theta: number, dim: number, s: Yarn): Float32Array {
  const dimensionOf = (rotations: number) =>
    (dim * Math.log(s.originalPositions / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  const round = s.truncate ? [Math.floor, Math.ceil] : [(x: number) => x, (x: number) => x];
  const low = Math.max(round[0]!(dimensionOf(s.betaFast)), 0);
  const highest = Math.min(round[1]!(dimensionOf(s.betaSlow)), dim - 1);
  const high = highest === low ? low + 0.001 : highest;
  return powers.map((power, i) => {
    const ramp = Math.min(Math.max((i - low) / (high - low), 0), 1);
    return (1 / (s.factor * power)) * ramp + (1 / power) * (1 - ramp);
  });
}
