import { formatErrors } from '../errors.js';
import { FileReader } from '../file-reader.js';
import type { GgufFields } from './fields.js';

/** Files hold factors in f32, made by formulas in f64. */
const TOLERANCE = 1e-3;

/** How positions beyond the trained context are reached, as config.json says it: `rope_scaling`, or nothing. */
export function ropeScaling(fields: GgufFields): Record<string, unknown> {
  if (fields.hasTensor('rope_freqs.weight')) return { rope_scaling: llama3(fields) };
  const original = fields.optional('rope.scaling.original_context_length');
  const attention = fields.optional('rope.scaling.attn_factor');
  const common = {
    ...(original !== undefined && { original_max_position_embeddings: original }),
    ...(attention !== undefined && { attention_factor: attention }),
  };
  if (fields.hasTensor('rope_factors_long.weight')) {
    return {
      ...(original !== undefined && { original_max_position_embeddings: original }),
      rope_scaling: {
        rope_type: 'longrope',
        long_factor: factors(fields, 'rope_factors_long.weight'),
        short_factor: factors(fields, 'rope_factors_short.weight'),
        ...common,
      },
    };
  }
  const type = fields.text('rope.scaling.type');
  if (type === undefined || type === 'none') return {};
  return { rope_scaling: { rope_type: type, factor: fields.number('rope.scaling.factor'), ...common } };
}

/** Numbers of a small f32 tensor. */
function factors({ file }: GgufFields, name: string): number[] {
  const tensor = file.tensors.get(name);
  if (tensor?.dtype !== 'f32') {
    const reason = `${name} is ${tensor ? `of type ${tensor.dtype}, not f32` : 'missing'}`;
    throw formatErrors.FILE_CORRUPT({ path: file.path, reason });
  }
  using reader = FileReader.open(file.path, 'GGUF file');
  const bytes = reader.read(tensor.offset, tensor.bytes);
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
}

/**
 * Llama 3.1's files hold what each frequency is divided by, and not the parameters that made it: 1 for short waves, the
 * factor for long ones, blended between. Blends tell the trained context; the bounds of the blend are 1 and 4 in every
 * model of the family. What was found must give the tensor's factors again.
 */
function llama3(fields: GgufFields): Record<string, unknown> {
  const [low, high] = [1, 4];
  const stored = factors(fields, 'rope_freqs.weight');
  const factor = Math.max(...stored);
  const base = fields.number('rope.freq_base', 10000);
  const wavelengths = stored.map((_, i) => 2 * Math.PI * base ** (i / stored.length));
  const blended = stored.findIndex((f) => f > 1 + TOLERANCE && f < factor * (1 - TOLERANCE));
  const smoothOf = (f: number) => (1 / f - 1 / factor) / (1 - 1 / factor);
  const original = Math.round(
    blended >= 0
      ? wavelengths[blended]! * (low + smoothOf(stored[blended]!) * (high - low))
      : // Without a blend the trained context is only known to lie between the last short wave and the first long one.
        wavelengths[Math.max(0, stored.findIndex((f) => f > 1) - 1)]! * high,
  );
  const again = wavelengths.map((wavelength) => {
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
  if (again.some((value, i) => Math.abs(value / stored[i]! - 1) > 10 * TOLERANCE)) {
    throw formatErrors.FILE_UNSUPPORTED({
      path: fields.file.path,
      reason:
        'the factors of its rotation (rope_freqs.weight) are not those of Llama 3.1; use the Hugging Face folder of this model',
    });
  }
  return {
    rope_type: 'llama3',
    factor,
    low_freq_factor: low,
    high_freq_factor: high,
    original_max_position_embeddings: original,
  };
}
