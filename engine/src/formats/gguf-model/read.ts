import { formatErrors } from '../errors.js';
import { type GgufTensor, readGguf } from '../gguf/read.js';
import { ggufTokenizer } from '../gguf-tokenizer/read.js';
import type { ModelSource, TensorEntry, TokenizerSource } from '../model-source.js';
import { familyOf, GGUF_ARCHITECTURES, type GgufFamily } from './families.js';
import { GgufFields } from './fields.js';

/** Tensors that the config is made of. */
const IN_CONFIG = new Set(['rope_freqs.weight', 'rope_factors_long.weight', 'rope_factors_short.weight']);

/**
 * Reads a .gguf file as a model: Hugging Face's config and tensor names, and its tokenizer.
 * Throws LF_ENGINE_FILE_UNSUPPORTED for an architecture or a tensor that is not known, else as `readGguf`.
 */
export function readGgufModel(path: string): ModelSource {
  const file = readGguf(path, { arrays: (key) => !key.startsWith('tokenizer.') });
  const fields = new GgufFields(file, String(file.metadata.get('general.architecture') ?? ''));
  const family = familyOf(fields);
  if (!family) {
    throw formatErrors.FILE_UNSUPPORTED({
      path,
      reason: `its architecture is "${fields.prefix}"; known from GGUF: ${GGUF_ARCHITECTURES.join(', ')}`,
    });
  }
  const config = family.config(fields);
  let tokenizer: { readonly found: TokenizerSource | undefined } | undefined;
  return {
    kind: 'gguf',
    path,
    config,
    tensors: tensorsOf(fields, family),
    // Read when it is asked for: who only wants the weights needs no vocabulary.
    get tokenizer() {
      tokenizer ??= { found: ggufTokenizer(readGguf(path)) };
      return tokenizer.found;
    },
    generationConfig: { eos_token_id: config.eos_token_id, bos_token_id: config.bos_token_id },
  };
}

function tensorsOf(fields: GgufFields, family: GgufFamily): Map<string, TensorEntry> {
  const { path, tensors: stored } = fields.file;
  const heads = fields.number('attention.head_count');
  const keyHeads = fields.number('attention.head_count_kv', heads);
  const tensors = new Map<string, TensorEntry>();
  const unknown: string[] = [];
  for (const tensor of stored.values()) {
    if (IN_CONFIG.has(tensor.name)) continue;
    const [, layer, part = '', kind] = tensor.name.match(/^(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)$/) ?? [];
    const names = layer === undefined ? family.top : family.block;
    if (!Object.hasOwn(names, part)) {
      unknown.push(tensor.name);
      continue;
    }
    const name = `${layer === undefined ? '' : `${family.layers}.${layer}.`}${names[part]}.${kind}`;
    const transform = family.transforms.find(([pattern]) => pattern.test(part))?.[1];
    // A bias has no other orientation.
    const applies = transform !== undefined && !(transform === 'transposed' && kind === 'bias');
    for (const entry of expertsOf(tensor, name, path)) {
      tensors.set(entry.name, {
        ...entry,
        ...(applies && { transform, heads: part === 'attn_k' ? keyHeads : heads }),
      });
    }
  }
  if (unknown.length > 0) {
    throw formatErrors.FILE_UNSUPPORTED({
      path,
      reason: `it holds tensors that are not known: ${unknown.slice(0, 8).join(', ')}; known names are ${Object.keys(family.top).join(', ')} and blk.N.{${Object.keys(family.block).join(', ')}}`,
    });
  }
  return tensors;
}

/** A tensor [E, rows, columns] as the E matrices that Hugging Face has; any other as it is. */
function expertsOf({ dtype, shape, offset, bytes }: GgufTensor, name: string, file: string): TensorEntry[] {
  if (!name.includes('{e}')) return [{ name, dtype, shape, file, offset, bytes }];
  const [experts = 1, ...matrix] = shape;
  const size = bytes / experts;
  return Array.from({ length: experts }, (_, e) => ({
    name: name.replace('{e}', String(e)),
    dtype,
    shape: matrix,
    file,
    offset: offset + e * size,
    bytes: size,
  }));
}
